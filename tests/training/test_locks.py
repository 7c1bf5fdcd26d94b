"""One process at a time works in a folder."""

import threading

from training.locks import is_locked, locked


def test_a_second_one_says_that_it_waits_and_then_goes_on(tmp_path, capsys):
    entered = []

    def enter():
        with locked(tmp_path, "trains"):
            entered.append("second")

    assert not is_locked(tmp_path, "trains")
    with locked(tmp_path, "trains"), locked(tmp_path, "prepares"):
        assert is_locked(tmp_path, "trains")
        second = threading.Thread(target=enter)
        second.start()
        second.join(0.5)
        entered.append("first")
    second.join(10)
    assert not is_locked(tmp_path, "trains")
    assert entered == ["first", "second"]
    text = f"waiting for another process that trains {tmp_path}\n"
    assert capsys.readouterr().out == text
