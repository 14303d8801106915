//! What a dashboard is told before it starts, and whom it asks while it runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aldis_client::Broker;
use aldis_history::History;
use argon2::password_hash::{PasswordHash, PasswordVerifier};
use serde::Serialize;
use utoipa::ToSchema;

/// Tells the time in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    })
}

/// Tells whether a name, in small letters, is one of the machine's.
pub type Names = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Names that never change.
pub fn fixed_names(names: impl IntoIterator<Item = String>) -> Names {
    let lower = names.into_iter().map(|name| name.to_ascii_lowercase());
    let names: Vec<String> = lower.collect();
    Arc::new(move |asked| names.iter().any(|name| name == asked))
}

/// Gives the addresses under which a phone finds the dashboard at the moment: those of a machine
/// change.
pub type Urls = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Addresses that never change.
pub fn fixed_urls(urls: Vec<String>) -> Urls {
    Arc::new(move || urls.clone())
}

/// What a dashboard is told before it starts.
pub struct DashboardOptions {
    /// Where HTTP is spoken. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// Where HTTPS is spoken, if anywhere. Who comes from another machine is then sent there.
    pub tls: Option<TlsFiles>,
    /// What people call this hub.
    pub name: String,
    /// The broker that devices and dashboard share.
    pub broker: Broker,
    /// What the topics of devices begin with.
    pub prefixes: Vec<String>,
    /// What is kept of them.
    pub history: History,
    /// Who may sign in.
    pub owner: Arc<dyn Owner>,
    /// How the hub itself is.
    pub vitals: Arc<dyn Vitals>,
    /// The certificate of the authority that phones are to trust, in PEM.
    pub ca_pem: Option<PathBuf>,
    /// The addresses under which a phone finds the dashboard. The names that they have at the
    /// start are the ones that it answers to, besides `localhost` and addresses in numbers.
    pub urls: Urls,
    /// More names that it answers to. They may change while it runs.
    pub names: Names,
    /// The file in which sessions outlive the process; without it they end with it.
    pub sessions: Option<PathBuf>,
    /// The time.
    pub now: Clock,
}

/// Where HTTPS is spoken, and with which certificate. The files are read again when they change.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The address. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// The file with the certificate chain, in PEM.
    pub cert: PathBuf,
    /// The file with the private key, in PEM.
    pub key: PathBuf,
}

/// Knows the owner's password.
pub trait Owner: Send + Sync + 'static {
    /// The mark of the password that this one was compared with, if it is the owner's: the
    /// password may change meanwhile. It may take as long as a hash does: it is called on a
    /// thread of its own.
    ///
    /// # Errors
    /// If that cannot be told now, in words that say why and what to do.
    fn verify(&self, password: &str) -> Result<Option<u64>, String>;

    /// A number that changes when the password does, and only then, restarts included. Sessions
    /// that were begun with another password end.
    fn mark(&self) -> u64;
}

/// An owner whose password has this hash, in the form of `$argon2id$...`.
#[derive(Clone)]
pub struct OwnerHash(String);

impl OwnerHash {
    /// The owner with this hash.
    pub fn new(hash: impl Into<String>) -> Self {
        Self(hash.into())
    }
}

impl Owner for OwnerHash {
    fn verify(&self, password: &str) -> Result<Option<u64>, String> {
        let hash = PasswordHash::new(&self.0)
            .map_err(|_| "the hash of the owner's password is damaged; set a new one".to_owned())?;
        let verified = argon2::Argon2::default().verify_password(password.as_bytes(), &hash);
        Ok(verified.is_ok().then(|| self.mark()))
    }

    fn mark(&self) -> u64 {
        // FNV-1a: the same in each run, which the standard library's hasher does not promise.
        self.0.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }
}

/// Knows how the hub itself is. It is asked each few seconds, and has to answer at once.
pub trait Vitals: Send + Sync + 'static {
    /// How the process and its disk are.
    fn machine(&self) -> Machine;
    /// How the recorder is; nothing: there is none in this process.
    fn recorder(&self) -> Option<Recorder>;
}

/// How a process and its disk are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Machine {
    /// The memory that the process takes.
    pub memory_bytes: Option<u64>,
    /// The share of one core that it took since it was asked last.
    pub cpu_percent: Option<f64>,
    /// What is free where things are kept.
    pub free_bytes: Option<u64>,
}

/// How a recorder is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Recorder {
    /// Whether it stores what comes.
    pub running: bool,
    /// What it has stored since its start.
    pub stored: u64,
    /// What came once more.
    pub repeated: u64,
    /// What came and is not stored yet.
    pub waiting: u64,
    /// When it last stored something.
    pub last_commit_ms: Option<i64>,
    /// How long that takes in 99 of 100 cases.
    pub commit_p99_ms: Option<f64>,
    /// Why it does not store.
    pub error: Option<String>,
}
