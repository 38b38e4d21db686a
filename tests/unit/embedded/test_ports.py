"""The choice of ports, with a machine made of a set."""

import pytest

from project.embedded.ports import NoFreePort, choose_ports


def test_free_preferred_ports_are_taken_without_a_word() -> None:
    plan = choose_ports({"web": 8000, "flower": 5555}, {}, lambda port: True)

    assert plan.ports == {"web": 8000, "flower": 5555}
    assert plan.notes == ()


def test_a_taken_port_is_said_clearly_and_the_next_free_one_is_used() -> None:
    plan = choose_ports({"web": 8000}, {}, lambda port: port not in {8000, 8001})

    assert plan.ports == {"web": 8002}
    assert plan.notes == ("Port 8000 (web) is taken; using 8002 instead.",)


def test_the_port_of_the_last_start_is_kept_while_it_is_free() -> None:
    plan = choose_ports({"web": 8000}, {"web": 8002}, lambda port: True)

    assert plan.ports == {"web": 8002}
    assert plan.notes == ()


def test_two_servers_never_get_the_same_port() -> None:
    plan = choose_ports({"web": 8000, "metrics": 8001}, {}, lambda port: port != 8000)

    assert plan.ports == {"web": 8001, "metrics": 8002}


def test_a_machine_without_a_free_port_is_refused_by_name() -> None:
    with pytest.raises(NoFreePort) as refused:
        choose_ports({"web": 65_000}, {}, lambda port: False)

    assert refused.value.name == "web"
