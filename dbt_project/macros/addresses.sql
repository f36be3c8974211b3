{# An address that several people read, or a stand-in for none, proves nothing about who wrote. A `+tag` changes nothing. #}
{% macro is_role_address(address) -%}
    coalesce(split_part(split_part({{ address }}, '@', 1), '+', 1) in (
        'abuse', 'accounts', 'admin', 'anonymous', 'billing', 'contact', 'customer', 'customerservice', 'do-not-reply', 'donotreply',
        'feedback', 'finance', 'guest', 'hello', 'help', 'helpdesk', 'hr', 'info', 'invoice', 'jobs', 'mail', 'marketing', 'no-reply',
        'nobody', 'none', 'noreply', 'office', 'orders', 'postmaster', 'press', 'purchasing', 'returns', 'root', 'sales', 'security',
        'service', 'shop', 'support', 'team', 'test', 'unknown', 'webmaster'
    ), false)
{%- endmacro %}
