{# A returned row is a key that is not complete or occurs more than once: the model would not be one row per `columns`. #}
{% test grain(model, columns) %}

select
    {% for column in columns -%}
    {{ column }} as key_{{ loop.index }},
    {% endfor -%}
    count(*) as row_count
from {{ model }}
group by {% for column in columns %}{{ column }}{{ ", " if not loop.last }}{% endfor %}
having count(*) > 1 or {% for column in columns %}{{ column }} is null{{ " or " if not loop.last }}{% endfor %}

{% endtest %}
