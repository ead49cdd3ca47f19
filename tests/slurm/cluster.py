"""A real SLURM on one Debian machine, for the tests: virtual nodes, named GPUs, preemption, accounting.

    python tests/slurm/cluster.py up     # installs what is missing, starts the rest, prints exports
    python tests/slurm/cluster.py down   # stops it

``eval "$(python tests/slurm/cluster.py up)"`` makes this shell's ``sbatch`` speak to it. It keeps to a
folder of its own (``SPECSEQ_CLUSTER``, default ``/var/lib/specseq-cluster``) and needs root, as SLURM does.
"""

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(os.environ.get("SPECSEQ_CLUSTER", "/var/lib/specseq-cluster"))
HOST = socket.gethostname().split(".")[0]
CPU_NODES = [f"n{number}" for number in (1, 2)]
GPU_NODES = [f"g{number}" for number in (1, 2)]
PACKAGES = (
    "slurm-wlm",
    "slurm-wlm-basic-plugins",
    "munge",
    "slurmdbd",
    "slurm-wlm-mysql-plugin",
    "mariadb-server",
)
# Where commands look without SLURM_CONF: job steps of Snakemake's executor are started without it.
DEFAULT_CONF = Path("/etc/slurm/slurm.conf")
DATABASE = ROOT / "mysql"
SOCKET = ROOT / "mysql.sock"

SLURM_CONF = f"""
ClusterName=specseq
SlurmctldHost={HOST}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
# Requeued jobs wait until their credential has expired: five seconds instead of two minutes.
AuthInfo=cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmctldPort=6827
SlurmctldPidFile={ROOT}/slurmctld.pid
SlurmctldLogFile={ROOT}/slurmctld.log
SlurmdPidFile={ROOT}/slurmd.%n.pid
SlurmdLogFile={ROOT}/slurmd.%n.log
SlurmdSpoolDir={ROOT}/spool.%n
StateSaveLocation={ROOT}/state
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
InactiveLimit=0
KillWait=5
MinJobAge=600
JobRequeue=1
MaxArraySize=10001
MaxJobCount=20000
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=5
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=6829
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
GresTypes=gpu
NodeName=DEFAULT CPUs=4 RealMemory=8000
NodeName=n[1-2] NodeHostname={HOST} NodeAddr=127.0.0.1 Port=[17201-17202]
NodeName=g[1-2] NodeHostname={HOST} NodeAddr=127.0.0.1 Port=[17301-17302] Gres=gpu:h100:2
PartitionName=DEFAULT MaxTime=1-00:00:00 DefaultTime=60 DefMemPerCPU=500 State=UP
PartitionName=cpu Nodes=n[1-2] Default=YES
PartitionName=gpu Nodes=g[1-2] PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=urgent Nodes=g[1-2] PriorityTier=10 PreemptMode=OFF
"""

GRES_CONF = f"NodeName=g[1-2] Name=gpu Type=h100 File={ROOT}/gpu[0-1] Flags=nvidia_gpu_env\n"

DBD_CONF = f"""
AuthType=auth/munge
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=6829
SlurmUser=root
PidFile={ROOT}/slurmdbd.pid
LogFile={ROOT}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=specseq
StorageLoc=slurm_acct
"""

DATABASE_CONF = f"""
[mysqld]
datadir={DATABASE}
socket={SOCKET}
pid-file={ROOT}/mysqld.pid
skip-networking
innodb_buffer_pool_size=128M
innodb_lock_wait_timeout=900
innodb_flush_log_at_trx_commit=2
log-error={ROOT}/mysqld.log
"""

ENVIRONMENT = {**os.environ, "SLURM_CONF": str(ROOT / "slurm.conf"), "MYSQL_UNIX_PORT": str(SOCKET)}


def call(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command with the cluster's environment; its output goes nowhere unless it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        sys.exit(f"cluster: {' '.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done


def answers(*command: str) -> bool:
    """Whether a command succeeds."""
    return call(*command, check=False).returncode == 0


def wait_for(what: str, ready: Callable[[], bool], seconds: float = 40) -> None:
    """Wait until ``ready()``; give up with a message."""
    until = time.time() + seconds
    while not ready():
        if time.time() > until:
            sys.exit(f"cluster: {what} did not come up in {seconds:.0f} s; see the logs in {ROOT}")
        time.sleep(0.2)


def alive(pidfile: Path) -> bool:
    """Whether the process of a pid file lives."""
    try:
        os.kill(int(pidfile.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def daemon(*command: str) -> None:
    """Start a process that outlives this one."""
    null = subprocess.DEVNULL
    subprocess.Popen(command, env=ENVIRONMENT, stdin=null, stdout=null, stderr=null, start_new_session=True)


def install() -> None:
    missing = [name for name in PACKAGES if not answers("dpkg", "-s", name)]
    if missing:
        call("apt-get", "update", "-qq")
        os.environ["DEBIAN_FRONTEND"] = ENVIRONMENT["DEBIAN_FRONTEND"] = "noninteractive"
        call("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)


def start_munge() -> None:
    for folder in ("/run/munge", "/etc/munge", "/var/log/munge", "/var/lib/munge"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "munge", "munge")
    key = Path("/etc/munge/munge.key")
    if not key.exists() or not key.stat().st_size:
        key.write_bytes(os.urandom(1024))
        shutil.chown(key, "munge", "munge")
        key.chmod(0o400)
    if not answers("munge", "-n"):
        call("runuser", "-u", "munge", "--", "/usr/sbin/munged")
    wait_for("munge", lambda: answers("munge", "-n"))


def write_config() -> None:
    for folder in (ROOT, ROOT / "state", *(ROOT / f"spool.{node}" for node in CPU_NODES + GPU_NODES)):
        folder.mkdir(parents=True, exist_ok=True)
    for number in (0, 1):  # a GPU is a character device to SLURM; these two are twins of /dev/null
        device = ROOT / f"gpu{number}"
        if not device.exists():
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    for name, text in {
        "slurm.conf": SLURM_CONF,
        "gres.conf": GRES_CONF,
        "slurmdbd.conf": DBD_CONF,
        "my.cnf": DATABASE_CONF,
    }.items():
        (ROOT / name).write_text(text)
    (ROOT / "slurmdbd.conf").chmod(0o600)
    DEFAULT_CONF.parent.mkdir(exist_ok=True)
    if not os.path.lexists(DEFAULT_CONF):
        DEFAULT_CONF.symlink_to(ROOT / "slurm.conf")
    for name in (HOST, *CPU_NODES, *GPU_NODES):  # processes of a job on several nodes find each other by name
        if not answers("getent", "hosts", name):
            with open("/etc/hosts", "a") as hosts:
                hosts.write(f"127.0.0.1 {name}\n")


def start_accounting() -> None:
    if not alive(ROOT / "mysqld.pid"):
        DATABASE.mkdir(exist_ok=True)
        shutil.chown(ROOT, "mysql", "mysql")
        shutil.chown(DATABASE, "mysql", "mysql")
        if not (DATABASE / "mysql").exists():
            call("mariadb-install-db", "--user=mysql", f"--datadir={DATABASE}", "--skip-test-db")
        daemon("mariadbd", f"--defaults-file={ROOT / 'my.cnf'}", "--user=mysql")
    wait_for("mariadb", lambda: answers("mysqladmin", f"--socket={SOCKET}", "ping"))
    grant = (
        "CREATE DATABASE IF NOT EXISTS slurm_acct; CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY "
        "'specseq'; GRANT ALL ON slurm_acct.* TO slurm@localhost;"
    )
    call("mysql", f"--socket={SOCKET}", "-e", grant)
    if not alive(ROOT / "slurmdbd.pid"):
        call("slurmdbd")
    wait_for("slurmdbd", lambda: answers("sacctmgr", "-n", "show", "cluster"))
    for entity in (("cluster", "specseq"), ("account", "default"), ("user", "root", "Account=default")):
        call("sacctmgr", "-n", "-i", "add", *entity, check=False)


def nodes_ready() -> bool:
    states = call("sinfo", "-h", "-N", "-o", "%T", check=False).stdout.split()
    return bool(states) and set(states) <= {"idle", "mixed", "allocated", "completing"}


def start_slurm() -> None:
    if not alive(ROOT / "slurmctld.pid"):
        call("slurmctld", "-f", ENVIRONMENT["SLURM_CONF"])
    wait_for("slurmctld", lambda: answers("scontrol", "ping"))
    for node in CPU_NODES + GPU_NODES:
        if not alive(ROOT / f"slurmd.{node}.pid"):
            call("slurmd", "-f", ENVIRONMENT["SLURM_CONF"], "-N", node)
    wait_for("the nodes", nodes_ready)


def up() -> None:
    """Bring the cluster up and print the exports that point a shell at it."""
    if os.geteuid() != 0:
        sys.exit("cluster: SLURM's daemons need root")
    for step in (install, write_config, start_munge, start_accounting, start_slurm):
        step()
    print(f"export SLURM_CONF={ENVIRONMENT['SLURM_CONF']}")


def down() -> None:
    """Cancel all jobs and stop every daemon but munge."""
    if alive(ROOT / "slurmctld.pid"):
        call("scancel", "--user=root", check=False)
        time.sleep(1)
    for pidfile in [
        *ROOT.glob("slurmd.*.pid"),
        *(ROOT / f"{n}.pid" for n in ("slurmctld", "slurmdbd", "mysqld")),
    ]:
        if alive(pidfile):
            os.kill(int(pidfile.read_text()), 15)
            wait_for(f"the end of {pidfile.stem}", lambda pidfile=pidfile: not alive(pidfile))  # type: ignore[misc]
    if DEFAULT_CONF.is_symlink() and DEFAULT_CONF.readlink() == ROOT / "slurm.conf":
        DEFAULT_CONF.unlink()


if __name__ == "__main__":
    {"up": up, "down": down}.get(sys.argv[1] if len(sys.argv) > 1 else "", lambda: sys.exit(__doc__))()
