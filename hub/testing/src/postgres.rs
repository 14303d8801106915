//! PostgreSQL as a child, in a folder and on a port of its own.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::free_port;

/// A PostgreSQL server. It ends with the test process, however that ends.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    options: Vec<String>,
    running: Mutex<Option<Running>>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Running {
    /// A shell that waits for the server and, when this process is gone, ends it.
    keeper: Child,
    _until: ChildStdin,
}

impl Postgres {
    /// Starts one, with these settings (`name=value`).
    ///
    /// # Panics
    /// If PostgreSQL is not installed.
    pub fn start(options: &[&str]) -> Self {
        Self::start_limited(options, None)
    }

    /// A server of which no file may be larger than so many blocks of 512 bytes.
    ///
    /// # Panics
    /// If PostgreSQL is not installed.
    pub fn start_limited(options: &[&str], blocks: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let data = folder.join("data");
        let mut initdb = Command::new(program("initdb"));
        initdb
            .args(["-U", "aldis", "-A", "trust", "--no-sync", "-E", "UTF8"])
            .args(["--locale=C", "--wal-segsize=1", "-D"])
            .arg(&data);
        let made = as_user(&mut initdb, user, &folder).output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let server = Self {
            folder,
            user,
            port: free_port(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            running: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        server.go_on_limited(blocks);
        server
    }

    /// Starts the server again after [`Postgres::stop`].
    ///
    /// # Panics
    /// If it does not start.
    pub fn go_on(&self) {
        self.go_on_limited(None);
    }

    fn go_on_limited(&self, blocks: Option<u32>) {
        let limit = blocks.map_or_else(String::new, |blocks| {
            format!("trap '' XFSZ; ulimit -S -f {blocks}; ")
        });
        // The shell reads until this process is gone.
        let script = format!(
            "{limit}\"$@\" & read -r end; kill -INT $!; wait $!; \
             [ -n \"$end\" ] || rm -rf \"$FOLDER\""
        );
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &script, "sh"])
            .arg(program("postgres"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-k")
            .arg(&self.folder)
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            // What has been committed is on the disk, as it is by default.
            .args(["-c", "fsync=on", "-c", "shared_buffers=32MB"])
            .args(self.options.iter().flat_map(|option| ["-c", option]))
            .env("FOLDER", &self.folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // A Ctrl-C at the terminal is for the tests.
        shell.process_group(0);
        let mut keeper = as_user(&mut shell, self.user, &self.folder)
            .spawn()
            .unwrap();
        let until = keeper.stdin.take().unwrap();
        let mut running = self.running.lock().unwrap();
        *running = Some(Running {
            keeper,
            _until: until,
        });
        let ready = await_until(Duration::from_secs(30), || {
            Command::new(program("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        });
        assert!(ready, "{}", self.log());
    }

    /// Ends the server: its connections are cut, what was not committed is rolled back.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&self) {
        let Some(mut running) = self.running.lock().unwrap().take() else {
            return;
        };
        running._until.write_all(b"stop\n").unwrap();
        running.keeper.wait().unwrap();
    }

    /// Kills the server and all its processes, as a power cut would.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        // SIGQUIT: end at once, without a word to the disk.
        let sent = Command::new("kill").args(["-QUIT", &pid]).status().unwrap();
        assert!(sent.success());
        self.stop();
    }

    /// Lifts the limit of the files' size, of each of its processes.
    ///
    /// # Panics
    /// If it does not run, or there is no `prlimit`.
    pub fn make_room(&self) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let children = Command::new("pgrep").args(["-P", &pid]).output().unwrap();
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        for pid in std::iter::once(&*pid).chain(children.split_whitespace()) {
            lift_limit(as_user(&mut prlimit(pid), self.user, &self.folder));
        }
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The address of a database of its own.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("history{number}");
        let made = Command::new(program("createdb"))
            .args(["-h", "127.0.0.1", "-U", "aldis", "-p"])
            .args([&self.port.to_string(), &name])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        format!("postgres://aldis@127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A program of PostgreSQL's, of the newest version that is installed.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut found: Vec<_> = versions
        .filter_map(|version| {
            let version = version.ok()?;
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            let program = version.path().join("bin").join(name);
            program.exists().then_some((number, program))
        })
        .collect();
    found.sort();
    let newest = found.pop();
    newest
        .expect("no PostgreSQL in /usr/lib/postgresql; install it: apt-get install postgresql")
        .1
}

/// Whom the server runs as: it refuses to be root.
fn unprivileged() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let [user, _, uid, gid, ..] = fields[..] else {
                return None;
            };
            (user == name).then(|| Some((uid.parse().ok()?, gid.parse().ok()?)))?
        })
    };
    let user = user("postgres").or_else(|| user("nobody"));
    Some(user.expect("there is neither a user postgres nor nobody"))
}

fn as_user<'a>(
    command: &'a mut Command,
    user: Option<(u32, u32)>,
    folder: &Path,
) -> &'a mut Command {
    command.current_dir(folder).env_remove("PGDATA");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Lifts the limit of the size of files, of a process.
///
/// # Panics
/// If there is no `prlimit`.
pub fn make_room(pid: u32) {
    lift_limit(&mut prlimit(&pid.to_string()));
}

fn prlimit(pid: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.args(["--pid", pid, "--fsize=unlimited"]);
    command
}

fn lift_limit(command: &mut Command) {
    let lifted = command.output().unwrap();
    let said = String::from_utf8_lossy(&lifted.stderr);
    assert!(lifted.status.success(), "{said}");
}

/// Waits until something holds; gives whether it did in time.
pub fn await_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
