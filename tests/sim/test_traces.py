"""Contact traces and workloads: three formats read, and what is wrong said in one sentence."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_traces import NAMES, NEEDS_TRACES, contacts_of, workload_of

from meshchat.core.sealed import FILE_MAX_BYTES
from meshchat.errors import UsageError
from meshchat.sim import traces
from meshchat.sim.traces import Trace, read_contacts, read_workload
from meshchat.sim.ways import Contact, Wanted

HEAD = "start_s,end_s,node_a,node_b\n"
WORK = "created_s,src,dst,size_bytes,ttl_s\n"


def written(folder: Path, text: str | bytes, name: str = "trace") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, text: str | bytes) -> Trace:
    return read_contacts(written(folder, text))


# --- good files ---------------------------------------------------------------------------------


def test_our_format_is_read(tmp_path: Path) -> None:
    """Numbers stay what they are, nodes without a contact count, both orders of a pair do."""
    trace = read(tmp_path, HEAD + "0,20,4,1\n20,40.5,1,4\n20,30,0,2\n")
    assert trace.contacts == [(0, 20, 1, 4), (20, 40.5, 1, 4), (20, 30, 0, 2)]
    assert all(isinstance(contact, Contact) for contact in trace.contacts)
    assert (trace.nodes, trace.duration) == (5, 40.5)
    assert trace.names == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_editors_do_to_files_does_not_matter(tmp_path: Path, mark: str, end: str) -> None:
    """Line ends, a byte order mark, comments, blank lines, spaces, no end of the last line."""
    text = f"{mark}# made by hand\n{HEAD}\n% more\n 0, 20, a, b \n30,40,a,b".replace("\n", end)
    assert read(tmp_path, text).contacts == [(0, 20, 0, 1), (30, 40, 0, 1)]


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    """Packed without the name's ending, and plain with it."""
    text = HEAD + "0,20,0,1\n"
    packed = written(tmp_path, gzip.compress(text.encode()), "packed.csv")
    plain = written(tmp_path, text, "plain.csv.gz")
    assert read_contacts(packed) == read_contacts(str(plain))


def test_words_are_numbered_in_order_of_appearance(tmp_path: Path) -> None:
    """Words come after numbers, which keep their own; 007 is a word."""
    trace = read(tmp_path, HEAD + "0,20,anna,2\n5,20,Бота,anna\n6,20,007,0\n")
    assert trace.names == ("0", "1", "2", "anna", "Бота", "007")
    assert trace.contacts == [(0, 20, 2, 3), (5, 20, 3, 4), (6, 20, 0, 5)]
    assert trace.nodes == 6


def test_connectivity_events_are_read(tmp_path: Path) -> None:
    """The ONE's events: sorted by start, and what is up at the end closes at the last time."""
    text = "# The ONE\n0.5 CONN p1 c2 up\n1 CONN 0 c2 up\n2 CONN p1 c2 down\n9 CONN 0 p1 up\n"
    trace = read(tmp_path, text)
    assert trace.contacts == [(0.5, 2, 1, 2), (1, 9, 0, 2)]
    assert trace.names == ("0", "p1", "c2")


def test_connectivity_events_may_come_from_both_sides(tmp_path: Path) -> None:
    """A pair is together while one of the two says so, as in the iMote sets for The ONE."""
    text = (
        "0\tCONN\t2\t9\tup\n1\tCONN\t9\t2\tup\n4\tCONN\t2\t9\tdown\n6\tCONN\t9\t2\tdown\n"
        "7\tCONN\t2\t9\tup\n7\tCONN\t2\t9\tdown\n8\tCONN\t2\t9\tup\n9\tCONN\t9\t2\tdown\n"
    )
    assert read(tmp_path, text).contacts == [(0, 6, 2, 9), (8, 9, 2, 9)]


@pytest.mark.parametrize("between", [" ", "\t", ",", ", "])
def test_tables_are_read(tmp_path: Path, between: str) -> None:
    """By blanks or commas, further columns ignored."""
    lines = ["1 3 236 347 1 0", "1 4 240.5 347", "3 1 400 410 2 53 x"]
    trace = read(tmp_path, "\n".join(line.replace(" ", between) for line in lines))
    assert trace.contacts == [(236, 347, 1, 3), (240.5, 347, 1, 4), (400, 410, 1, 3)]
    assert trace.nodes == 5


def test_tables_hold_what_each_device_saw(tmp_path: Path) -> None:
    """Grouped by device, both views of a pair, single scans: as the iMote sets have it."""
    text = (
        "1\t8\t121\t121\t1\t0\n1\t3\t236\t347\t1\t0\n1\t8\t585\t600\t2\t464\n"
        "3\t1\t100\t240\t1\t0\n3\t1\t347\t400\t2\t107\n8\t1\t590\t595\t1\t0\n"
    )
    assert read(tmp_path, text).contacts == [(100, 400, 1, 3), (585, 600, 1, 8)]


times = st.integers(0, 10**6).map(lambda n: n / 8)
lengths = st.integers(1, 800).map(lambda n: n / 8)


@st.composite
def worlds(draw: st.DrawFn) -> list[Contact]:
    """Contacts of which no two of a pair overlap or touch."""
    count = draw(st.integers(2, 6))
    until: dict[tuple[int, int], float] = {}
    contacts = []
    for _ in range(draw(st.integers(1, 30))):
        a, b = sorted(draw(st.permutations(range(count)))[:2])
        start = until.get((a, b), -1) + 1 + draw(times)
        until[a, b] = start + draw(lengths)
        contacts.append(Contact(start, until[a, b], a, b))
    return sorted(contacts)


def as_ours(contacts: list[Contact]) -> str:
    return HEAD + "".join(f"{start},{end},{b},{a}\n" for start, end, a, b in contacts)


def as_events(contacts: list[Contact]) -> str:
    events = [(start, 1, f"{start} CONN n{a} n{b} up\n") for start, _, a, b in contacts]
    events += [(end, 0, f"{end} CONN n{b} n{a} down\n") for _, end, a, b in contacts]
    return "".join(line for *_, line in sorted(events))


def as_table(contacts: list[Contact]) -> str:
    by_pair = sorted(contacts, key=lambda contact: contact[2:])
    return "".join(f"{a} {b} {start} {end} 1 0\n" for start, end, a, b in by_pair)


@pytest.mark.parametrize("form", [as_ours, as_events, as_table])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@settings(deadline=None)  # writes files
@given(contacts=worlds())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    form: Callable[[list[Contact]], str],
    pack: Callable[[bytes], bytes],
    contacts: list[Contact],
) -> None:
    """Each format, plain and packed, gives back the contacts to the last bit."""
    path = written(tmp_path_factory.getbasetemp(), pack(form(contacts).encode()), "round")
    trace = read_contacts(path)
    assert trace.contacts == contacts
    assert trace.nodes == 1 + max(contact.b for contact in contacts)
    assert trace.duration == max(contact.end for contact in contacts)


@settings(deadline=None)
@given(data=st.binary(max_size=200), head=st.sampled_from(["", HEAD, "0 CONN 1 2 up\n", WORK]))
def test_any_bytes_give_a_trace_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, head: str
) -> None:
    """Nothing but a UsageError leaves the readers, and it can be shown in one line."""
    path = written(tmp_path_factory.getbasetemp(), head.encode() + data, "any")
    trace = Trace([Contact(0, 1, 0, 1)], 2, ("0", "1"), 1.0, True)
    for reader in (read_contacts, lambda path: read_workload(path, trace)):
        try:
            reader(path)
        except UsageError as error:
            assert str(error).isprintable()
            assert str(error).startswith(str(path))


# --- bad contacts -------------------------------------------------------------------------------


def complaint(folder: Path, text: str | bytes, line: int) -> str:
    """What is said about a file; that it is one sentence which names file and line."""
    path = written(folder, text)
    with pytest.raises(UsageError) as caught:
        read_contacts(path)
    said = str(caught.value)
    place = f"{path}, line {line}: " if line else f"{path}: "
    assert said.startswith(place)
    assert said.endswith(".") and "\n" not in said
    return said.removeprefix(place)


OK = "0,20,0,1\n"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("5,9,2,3\n4,9,0,2\n", "sort the file by start_s"),
        ("0,9,0,2\n19,30,0,1\n", "join the two contacts"),
        ("0,9,0,2\n19,30,1,0\n", "join the two contacts"),
        ("30,40,0,2\n50,40,0,1\n", "has to end later"),
        ("30,40,0,2\n40,40,0,1\n", "has to end later"),
        ("30,40,0,2\n40,50,3,3\n", 'node "3" meets itself'),
        ("30,40,0,2\nsoon,50,0,1\n", 'start_s is "soon", which is not a number'),
        ("30,40,0,2\n40,,0,1\n", 'end_s is "", which is not a number'),
        ("30,40,0,2\n4_0,50,0,1\n", "is not a number"),
        ("30,40,0,2\n٤٠,50,0,1\n", "is not a number"),
        ("30,40,0,2\n40,nan,0,1\n", "it has to be from 0 to"),
        ("30,40,0,2\n40,inf,0,1\n", "it has to be from 0 to"),
        ("30,40,0,2\n40,1e300,0,1\n", "it has to be from 0 to"),
        ("30,40,0,2\n-1,50,0,1\n", "it has to be from 0 to"),
        ("30,40,0,2\n40,50,0\n", "the line has 3 columns instead of start_s,end_s"),
        ("30,40,0,2\n40,50,0,1,7\n", "the line has 5 columns"),
        ("30,40,0,2\n40 50 0 1\n", "the line has 1 columns"),
        ("30,40,0,2\n40,50,0,\n", '"" is no name'),
        ("30,40,0,2\n40,50,0,\x1b[2J\n", "is no name"),
        (f"30,40,0,2\n40,50,0,{'x' * 49}\n", "is no name"),
        ("30,40,0,2\n40,50,0,100000\n", "is over 99999"),
        (f"30,40,0,2\n40,50,0,{'9' * 400}\n", "is over 99999"),
    ],
)
def test_bad_contacts_are_named(tmp_path: Path, row: str, says: str) -> None:
    """Each kind of bad line, the third after the head, is one sentence about that line."""
    assert says in complaint(tmp_path, HEAD + OK + row, 4)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("5 CONN 0 1 up\n4 CONN 0 1 down\n", 2, "sort the file by time"),
        ("5 CONN 0 1 up\n6 CONN 0 1 up\n", 2, "connected already"),
        ("5 CONN 0 1 up\n6 CONN 0 2 down\n", 2, "are not connected"),
        ("5 CONN 0 1 up\n6 CONN 0 1 sideways\n", 2, "is not TIME CONN A B up"),
        ("5 CONN 0 1 up\n6 C M1 0 1 500\n", 2, "is not TIME CONN A B up"),
        ("5 CONN 0 1 up\n6 CONN 0 1\n", 2, "is not TIME CONN A B up"),
        ("5 CONN p1 1 up\n", 1, '"p1" and "1" are both node 1'),
        ("5 CONN 1 1 up\n", 1, "meets itself"),
        ("5 CONN 1 2 up\nnan CONN 1 2 down\n", 2, "it has to be from 0"),
        ("5 CONN 1 2 up\n", 0, "no contact in it that could be used"),
        ("1 2 0 10\n1 2 20 15\n", 2, "before it starts"),
        ("1 2 0 10\n1 2 20\n", 2, "the line has 3 columns"),
        ("1 2 0 10\n1 2 20 x\n", 2, "is not a number"),
        ("1 2 0 10\n2 2 20 30\n", 2, "meets itself"),
        ("1 2 0 10\n1 2 -5 30\n", 2, "it has to be from 0"),
        ("1 2 5 5\n", 0, "no contact in it that could be used"),
        ("1 2 5 x\n", 1, "no format of contacts"),
        ("a,b,start,end\n0,1,0,20\n", 1, "no format of contacts"),
        ("<html>\n", 1, "no format of contacts"),
        (HEAD, 0, "no contact in it"),
        ("", 0, "there is nothing in it"),
        ("# nothing but talk\n\n", 0, "there is nothing in it"),
        (HEAD.encode() + b"0,20,\xff,1\n", 2, "not UTF-8"),
        (HEAD + "0,20,0,1" + " " * 2_000, 2, "over 1000 bytes"),
        (b"x" * 5_000, 1, "over 1000 bytes"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str | bytes, line: int, says: str) -> None:
    """Other formats, unknown ones, empty and binary files."""
    assert says in complaint(tmp_path, text, line)


def test_cut_off_and_damaged_gzip_is_named(tmp_path: Path) -> None:
    """Every cut, a changed byte and rubbish behind the end are noticed."""
    rows = "".join(f"{n},{n + 1},{n % 7},{n % 7 + 1}\n" for n in range(2_000))
    packed = gzip.compress((HEAD + rows).encode(), mtime=0)
    middle = len(packed) // 2
    wrong = [packed[:cut] for cut in (3, 12, middle, len(packed) - 9, len(packed) - 1)]
    wrong += [packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:], packed + b"rubbish"]
    for data in wrong:
        path = written(tmp_path, data)
        with pytest.raises(UsageError, match="cut off or damaged") as caught:
            read_contacts(path)
        assert str(path) in str(caught.value)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """A missing file, a folder, and one without permission."""
    missing, closed = tmp_path / "missing", written(tmp_path, HEAD + OK, "closed")
    closed.chmod(0)
    for path in (missing, tmp_path, closed):
        if path == closed and os.access(path, os.R_OK):
            continue  # root reads everything
        with pytest.raises(UsageError, match="cannot be read") as caught:
            read_contacts(path)
        assert str(path) in str(caught.value)


def test_too_many_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that never ends stops at the limit, comments included."""
    monkeypatch.setattr(traces, "LINES_MAX", 5)
    assert "over 5 lines" in complaint(tmp_path, HEAD + "#\n" * 4 + OK, 6)


def test_too_many_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words cannot fill memory either."""
    monkeypatch.setattr(traces, "NODES_MAX", 3)
    assert "over 3 nodes" in complaint(tmp_path, HEAD + "0,9,a,b\n1,9,c,d\n", 3)


# --- workloads ----------------------------------------------------------------------------------


def messages(folder: Path, rows: str, contacts: str = OK) -> list[Wanted]:
    trace = read(folder, HEAD + contacts)
    return read_workload(written(folder, rows, "work"), trace)


def test_a_workload_is_read(tmp_path: Path) -> None:
    """Numbers beyond the contacts are nodes that meet nobody."""
    rows = f"0.5,0,1,200,60\n0.5,7,1,1,0.5\n9,1,0,{FILE_MAX_BYTES},3600\n"
    wanted = messages(tmp_path, WORK + rows)
    assert wanted == [(0.5, 0, 1, 200, 60), (0.5, 7, 1, 1, 0.5), (9, 1, 0, FILE_MAX_BYTES, 3600)]
    assert all(isinstance(want, Wanted) for want in wanted)


def test_a_workload_names_nodes_as_the_trace_does(tmp_path: Path) -> None:
    """By words, and by The ONE's labels or their numbers."""
    assert messages(tmp_path, WORK + "1,b,a,9,9\n", "0,9,a,b\n") == [(1, 1, 0, 9, 9)]
    trace = read(tmp_path, "0 CONN p0 c3 up\n5 CONN p0 c3 down\n")
    work = written(tmp_path, WORK + "1,c3,p0,9,9\n1,3,0,9,9\n", "work")
    assert read_workload(work, trace) == [(1, 3, 0, 9, 9)] * 2


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("4,0,1,9,9", "sort the file by created_s"),
        ("-4,0,1,9,9", "created_s is -4; it has to be from 0"),
        ("6,0,0,9,9", "writes to itself"),
        ("6,0,1,0,9", "from 1 to"),
        ("6,0,1,-3,9", "from 1 to"),
        ("6,0,1,1.5,9", "from 1 to"),
        ("6,0,1,,9", "from 1 to"),
        (f"6,0,1,{FILE_MAX_BYTES + 1},9", "the largest file"),
        (f"6,0,1,{'9' * 300},9", "the largest file"),
        ("6,0,1,9,0", "ttl_s has to be above 0"),
        ("6,0,1,9,-1", "ttl_s is -1"),
        ("6,0,1,9,nan", "ttl_s is nan"),
        ("6,0,1,9,inf", "ttl_s is inf"),
        ("6,0,1,9,long", 'ttl_s is "long", which is not a number'),
        ("6,0,1,9", "the line has 4 columns"),
        ("6,0,anna,9,9", 'there is no node "anna"'),
        ("6,0,-1,9,9", 'there is no node "-1"'),
        ("6,0,100000,9,9", 'there is no node "100000"'),
    ],
)
def test_bad_messages_are_named(tmp_path: Path, row: str, says: str) -> None:
    """Each kind of bad line is one sentence about that line."""
    with pytest.raises(UsageError) as caught:
        messages(tmp_path, f"{WORK}5,0,1,9,9\n{row}\n")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'work'}, line 3: ") and says in said


def test_words_have_to_be_in_the_trace(tmp_path: Path) -> None:
    """Where nodes have words for names, a number is no node."""
    with pytest.raises(UsageError, match='no node "1"'):
        messages(tmp_path, WORK + "1,a,1,9,9\n", "0,9,a,b\n")


@pytest.mark.parametrize("text", ["", HEAD, "0,0,1,9,9\n", WORK])
def test_files_without_messages_are_named(tmp_path: Path, text: str) -> None:
    """No head, another head, or nothing below it."""
    with pytest.raises(UsageError, match=r"work, line 1: .*(no workload|no message)"):
        messages(tmp_path, text)


@NEEDS_TRACES
def test_shared_traces_are_read() -> None:
    """The numbers in the data's own description."""
    sizes = {}
    for name in NAMES:
        trace = read_contacts(contacts_of(name))
        sizes[name] = (trace.nodes, len(trace.contacts))
        for kind in ("text", "media"):
            assert len(read_workload(workload_of(name, kind), trace)) == 1_000
    assert sizes == {
        "hs13": (327, 67_613),
        "hosp10": (75, 14_037),
        "conf17": (262, 70_910),
        "museum09": (410, 10_494),
        "crowd500": (500, 248_944),
    }
