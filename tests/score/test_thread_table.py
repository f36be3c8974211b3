"""`raw.message_threads`: a row for every customer's message, once, from what had landed."""

from roomtone.score import thread_table
from roomtone.settings import Settings
from roomtone.stores import warehouse
from transform.histories import History, write


def test_each_message_gets_its_row_once(settings: Settings) -> None:
    history = History()
    history.customer("ann", "ann@example.com")
    history.ticket("t", "ann", (1, "new"))
    history.message("t", 1)
    history.reply("t", 2)
    history.message("t", 5)
    write(settings, history, 10)
    with warehouse.connect(settings) as connection:
        assert thread_table.refresh(connection) == 2
        assert thread_table.refresh(connection) == 0
        rows = connection.execute(
            "select contacts_30d, unanswered_hours from raw.message_threads order by message_id"
        ).fetchall()
    assert rows == [(1, 0.0), (2, 0.0)]


def test_a_later_message_is_compared_with_those_before_it(settings: Settings) -> None:
    history = History()
    history.customer("ann", "ann@example.com")
    for ticket, hour, text in (("t", 1.0, "Where is my parcel?"), ("u", 30.0, "My package still has not arrived.")):
        history.ticket(ticket, "ann", (hour, "new"))
        history.message(ticket, hour)
        history.tables["messages"][-1]["body"] = text
        write(settings, history, 100)
        with warehouse.connect(settings) as connection:
            thread_table.refresh(connection)
            rows = connection.execute(
                "select message_id, repeats_7d, repeats_other_tickets_30d from raw.message_threads order by message_id"
            ).fetchall()
    assert rows == [("t-m1", 0, 0), ("u-m30", 1, 1)]


def test_nothing_landed_is_no_trouble(settings: Settings) -> None:
    write(settings, History(), 10)
    with warehouse.connect(settings) as connection:
        assert thread_table.refresh(connection) == 0
