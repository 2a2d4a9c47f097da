"""A group of a real directory (OpenLDAP's slapd), by ldap3 and by a file of ldapsearch.

`make test-ldap` brings ldap3 and runs these; without it, or without slapd, they are skipped.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from angelia.audience.directory.groups import DirectoryMapping, members_of
from angelia.audience.directory.ldif import read_ldif
from angelia.audience.directory.server import read_server
from angelia.errors import AngeliaError

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/lib/openldap:/usr/local/sbin:/usr/bin")
SCHEMAS = Path("/etc/ldap/schema")
BASE, READER, SECRET = "dc=shop,dc=example", "cn=reader,dc=shop,dc=example", "a b c"
# Who is no administrator gets 20 entries at once, more by pages only.
CONFIG = f"""include {SCHEMAS}/core.schema
include {SCHEMAS}/cosine.schema
include {SCHEMAS}/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "{BASE}"
rootdn "cn=admin,{BASE}"
directory HOME/db
limits dn.exact="{READER}" size.soft=20 size.hard=20 size.pr=50 size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous auth
"""

pytest.importorskip("ldap3", reason="ldap3 is not installed: make test-ldap")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(SLAPD is None or not SCHEMAS.is_dir(), reason="no slapd (apt-get install slapd)"),
    # Of ldap3 2.9: with a newer pyasn1, and the sockets of connections that failed.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*socket:pytest.PytestUnraisableExceptionWarning"),
]


def entry(name: str, *lines: str) -> str:
    return "\n".join((f"dn: {name},{BASE}", *lines, "", ""))


def people_and_groups() -> str:
    """Return sixty people: 0 to 30 in `outer`, 30 to 49 in `inner`; each group is in the other."""
    parts = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: shop\ndc: shop\n\n"]
    parts.append(entry("cn=reader", "objectClass: person", "cn: r", "sn: r", f"userPassword: {SECRET}"))
    person = ("objectClass: inetOrgPerson", "cn: P", "sn: P")
    parts += [entry(f"uid=p{i}", *person, f"employeeNumber: {i:07d}") for i in range(60)]
    parts.append(entry("uid=guest", *person))
    inner = [f"member: uid=p{i},{BASE}" for i in range(30, 50)]
    outer = [f"member: UID=P{i}, {BASE}" for i in range(31)] + [f"member: uid=guest,{BASE}"]
    for name, members, other in (("inner", inner, "outer"), ("outer", outer, "inner")):
        last = (f"member: cn={other},{BASE}", f"member: uid=left,{BASE}")
        parts.append(entry(f"cn={name}", "objectClass: groupOfNames", *members, *last))
    return "".join(parts)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a directory on a free port of loopback, and yield where it is."""
    home = tmp_path_factory.mktemp("slapd")
    (home / "db").mkdir()
    config = home / "slapd.conf"
    config.write_text(CONFIG.replace("HOME", str(home)), "utf-8")
    (home / "data.ldif").write_text(people_and_groups(), "utf-8")
    assert SLAPD is not None
    add = [str(Path(SLAPD).with_name("slapadd")), "-f", str(config), "-l", str(home / "data.ldif")]
    subprocess.run(add, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = f"ldap://127.0.0.1:{port}"
    server = subprocess.Popen([SLAPD, "-h", where, "-f", str(config), "-d", "0"])
    try:
        for _ in range(100):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "slapd ended"
            time.sleep(0.1)
        yield where
    finally:
        server.terminate()
        server.wait(30)


def mapping(url: str, **changes: Any) -> DirectoryMapping:
    values = {
        "group": f"CN=outer, {BASE}",
        "user_id": "employeeNumber",
        "template": "u{value}",
        "server": url,
        "base": BASE,
        "bind": READER,
        "plain_password": True,
        "page": 15,
    }
    return DirectoryMapping.model_validate(values | changes)


def test_a_group_is_read_by_pages_with_the_groups_in_it(url: str) -> None:
    entries = read_server(mapping(url), SECRET)
    assert len(entries) == 62, "people with an id, and groups: five pages"
    members = members_of(entries, mapping(url))
    assert sorted(members.ids) == [f"u{i:07d}" for i in range(50)]
    # The guest has no id, so the search does not bring them, as it does not bring who has left.
    assert (members.n_groups, members.without_id, members.unknown) == (2, 0, 2)
    assert len(members_of(entries, mapping(url, nested=False)).ids) == 31


def test_a_file_of_ldapsearch_says_the_same(url: str, tmp_path: Path) -> None:
    search = ["ldapsearch", "-x", "-H", url, "-D", READER, "-w", SECRET, "-b", BASE, "-E", "pr=15/noprompt"]
    for shape in ([], ["-LLL", "-o", "ldif-wrap=no"]):
        file = tmp_path / "group.ldif"
        file.write_bytes(subprocess.run([*search, *shape], check=True, capture_output=True).stdout)
        members = members_of(read_ldif(file), mapping(url))
        assert sorted(members.ids) == [f"u{i:07d}" for i in range(50)]
        assert (members.n_groups, members.without_id, members.unknown) == (2, 1, 1)


@pytest.mark.parametrize(
    ("changes", "password", "says"),
    [
        ({}, "wrong", "refuses name or password"),
        ({"server": "ldap://127.0.0.1:1"}, SECRET, "does not answer"),
        ({"server": "ldaps://127.0.0.1:1"}, SECRET, "does not answer"),
        ({"base": "dc=elsewhere"}, SECRET, "refuses the search"),
        ({"page": 10_000}, SECRET, "refuses the search"),
        ({"bind": None}, None, "refuses the search"),
        ({"start_tls": True}, SECRET, "does not speak TLS|refuses the search|does not answer"),
    ],
)
def test_what_goes_wrong_is_one_line(url: str, changes: dict[str, Any], password: str, says: str) -> None:
    with pytest.raises(AngeliaError, match=says) as refused:
        read_server(mapping(url, **changes), password)
    assert refused.value.fix
    assert SECRET not in refused.value.one_line()
