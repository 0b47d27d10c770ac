"""Real database servers from Debian's packages, as their own users, on a socket in the test's folder."""

import glob
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from tests.integration.agent.app_side import until


def why_no_postgres() -> str:
    """Say why PostgreSQL cannot run here; "" if it can."""
    return _why_not("postgresql", "postgres", bool(_postgres("initdb")))


def why_no_mariadb() -> str:
    """Say why MariaDB cannot run here; "" if it can."""
    return _why_not("mariadb-server", "mysql", shutil.which("mariadbd") is not None)


def _why_not(package: str, user: str, found: bool) -> str:  # noqa: FBT001 - two lines above
    if not found:
        return f"no {package} here: apt-get install {package}"
    if os.geteuid() != 0:
        return f"only root can start {package} as the user {user}"
    return ""


def _postgres(tool: str) -> str:
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{tool}"))  # noqa: PTH207
    return found[-1] if found else ""


class Server:
    """A server process of another user; ``folder`` holds its socket, ``data`` its data.

    ``enter`` is what stands before every command: how the namespaces of a box are entered.
    """

    user = ""

    def __init__(self, folder: Path, data: Path | None = None, enter: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.data = (data or folder) / self.user
        self._enter = enter
        self._process: subprocess.Popen[bytes] | None = None
        for place in (folder, self.data):
            self._call("install", "-d", "-o", self.user, "-m", "750", str(place))
        folder.chmod(0o755)

    def _call(self, *command: str) -> str:
        done = self._try(*command)
        assert done.returncode == 0, (command, done.stdout + done.stderr)
        return done.stdout.strip()

    def _try(self, *command: str) -> "subprocess.CompletedProcess[str]":
        entered = [*self._enter, *command]
        return subprocess.run(entered, cwd="/", capture_output=True, text=True, check=False)

    def _as_user(self, *command: str) -> tuple[str, ...]:
        ids = (f"--reuid={self.user}", f"--regid={pwd.getpwnam(self.user).pw_gid}", "--init-groups")
        return ("setpriv", *ids, "--reset-env", "--", *command)

    def _start(self, *command: str) -> None:
        with (self.folder / "server.out").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._enter, *self._as_user(*command)],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, f"an answer of {self.user}")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "server.out").read_text()
        return self._probe().returncode == 0

    def _probe(self) -> "subprocess.CompletedProcess[str]":
        raise NotImplementedError

    def stop(self) -> None:
        """Halt all its processes: it answers nothing any more."""
        self._call("pkill", "-STOP", "-u", self.user, "-f", str(self.data))

    def go_on(self) -> None:
        """Let its processes go on."""
        self._call("pkill", "-CONT", "-u", self.user, "-f", str(self.data))
        if self._process is not None:  # nsenter stops along with its child
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with all its processes, as a power failure would."""
        if self._process is None:
            return
        self._try("pkill", "-KILL", "-f", str(self.data))
        self._process.wait()
        self._process = None


class Postgres(Server):
    """A PostgreSQL server with a database `shop` and two tables."""

    user = "postgres"
    port = "5439"

    def start(self, *settings: str) -> "Postgres":
        if not self._call("ls", "-A", str(self.data)):
            init = (_postgres("initdb"), "-A", "peer", "-U", "postgres", "-N", "-D", str(self.data))
            self._call(*self._as_user(*init))
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}", "-p", self.port]
        for setting in settings:
            options += ["-c", setting]
        self._start(_postgres("postgres"), "-D", str(self.data), *options)
        return self

    def make(self) -> "Postgres":
        self.sql("CREATE DATABASE shop;", "postgres")
        self.sql("CREATE TABLE a (id int PRIMARY KEY, n int); CREATE TABLE b (LIKE a INCLUDING ALL);")
        self.sql("INSERT INTO a SELECT g, 0 FROM generate_series(1, 100) g; INSERT INTO b SELECT * FROM a;")
        return self

    def sql(self, statement: str, database: str = "shop") -> str:
        return self._call(*self.psql(statement, database))

    def psql(self, statement: str, database: str = "shop") -> tuple[str, ...]:
        client = (_postgres("psql"), "-XAtq", "-w", "-h", str(self.folder), "-p", self.port, "-d", database)
        return self._as_user(*client, "-v", "ON_ERROR_STOP=1", "-c", statement)

    def section(self) -> str:
        return f"[postgresql]\nhost = {self.folder}\nport = {self.port}\n"

    def writes(self, patience_s: int = 1) -> bool:
        """Whether a row can be changed within ``patience_s``."""
        text = f"SET lock_timeout = '{patience_s}s'; UPDATE a SET n = n + 1 WHERE id = 1;"
        return self._try("timeout", str(patience_s + 1), *self.psql(text)).returncode == 0

    def _probe(self) -> "subprocess.CompletedProcess[str]":
        return self._try(*self.psql("SELECT 1", "postgres"))


class MariaDB(Server):
    """A MariaDB server with a database `shop` and two tables."""

    user = "mysql"

    @property
    def socket(self) -> Path:
        return self.folder / "mysqld.sock"

    def start(self, *settings: str) -> "MariaDB":
        if not self._call("ls", "-A", str(self.data)):
            self._call(
                "mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--skip-test-db",
                f"--user={self.user}", "--auth-root-authentication-method=socket",
            )  # fmt: skip
        self._start(
            "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}",
            "--skip-networking", f"--pid-file={self.folder}/pid", "--innodb-buffer-pool-size=8M",
            "--innodb-log-file-size=4M", *[f"--{setting}" for setting in settings],
        )  # fmt: skip
        return self

    def make(self) -> "MariaDB":
        self.sql("CREATE DATABASE shop", "mysql")
        self.sql("CREATE TABLE a (id int PRIMARY KEY, n int); CREATE TABLE b LIKE a")
        self.sql("INSERT INTO a SELECT seq, 0 FROM seq_1_to_100; INSERT INTO b SELECT * FROM a")
        return self

    def sql(self, statement: str, database: str = "shop") -> str:
        return self._call(*self.client(statement, database))

    def client(self, statement: str, database: str = "shop") -> tuple[str, ...]:
        client = ("mariadb", "--no-defaults", f"--socket={self.socket}", "-u", "root", "-BN", database)
        return (*client, "-e", statement)

    def section(self) -> str:
        return f"[mariadb]\nsocket = {self.socket}\n"

    def writes(self, patience_s: int = 1) -> bool:
        """Whether a row can be changed within ``patience_s``."""
        text = f"SET lock_wait_timeout = {patience_s}; UPDATE a SET n = n + 1 WHERE id = 1"
        return self._try("timeout", str(patience_s + 1), *self.client(text)).returncode == 0

    def _probe(self) -> "subprocess.CompletedProcess[str]":
        return self._try(*self.client("SELECT 1", "mysql"))
