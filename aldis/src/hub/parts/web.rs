//! The dashboard: where it listens, who may sign in, what it is told of the hub.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use aldis_client::Broker;
use aldis_dashboard::{
    Dashboard, DashboardOptions, Machine, Names, Owner, OwnerHash, Process, Recorder,
    RunningDashboard, TlsFiles, Urls, Vitals, fixed_names, fixed_urls, system_clock,
};
use aldis_history::History;
use aldis_hub::Keyring;
use aldis_protocol::topic::DEFAULT_PREFIX;
use aldis_recorder::Figures;

use super::Scene;

/// The port of the dashboard, unless it is taken.
pub const PORT: u16 = 8080;

/// The port of the dashboard over HTTPS, unless it is taken.
pub const SECURE_PORT: u16 = 8443;

/// Where the dashboard is to be.
#[derive(Clone, Debug)]
pub struct Web {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether that was asked for; else another port will do.
    pub asked: bool,
    /// What people call the hub.
    pub name: String,
    /// HTTPS, and the authority behind it.
    pub secure: Option<Secure>,
}

/// HTTPS with a certificate that phones can trust.
#[derive(Clone)]
pub struct Secure {
    /// Where it is spoken, and with which certificate.
    pub files: TlsFiles,
    /// The certificate of the hub's own authority, if it is behind it.
    pub ca_pem: Option<PathBuf>,
    /// The names and addresses that the certificate is for, as they are at the moment.
    pub names: Look,
    /// Those by which a browser may ask.
    pub hosts: Names,
}

/// Looks what something is at the moment.
pub type Look = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure")
            .field("files", &self.files)
            .field("names", &(self.names)())
            .finish_non_exhaustive()
    }
}

/// The hub's owner, whose password may change while the hub runs.
struct KeysOwner {
    keys: Keyring,
    /// The command that sets the password.
    set: String,
}

impl Owner for KeysOwner {
    fn verify(&self, password: &str) -> Result<Option<u64>, String> {
        self.keys.refresh();
        let none = || {
            format!(
                "the hub has no owner's password yet: `{}` sets one",
                self.set
            )
        };
        self.hash().ok_or_else(none)?.verify(password)
    }

    fn mark(&self) -> u64 {
        self.hash().unwrap_or_else(|| OwnerHash::new("")).mark()
    }
}

impl KeysOwner {
    /// The hash that is in force now.
    fn hash(&self) -> Option<OwnerHash> {
        self.keys.current().owner.clone().map(OwnerHash::new)
    }
}

/// How this process is, and its recorder.
struct Hub<F> {
    process: Process,
    figures: F,
}

impl<F: Fn() -> Option<Figures> + Send + Sync + 'static> Vitals for Hub<F> {
    fn machine(&self) -> Machine {
        self.process.look()
    }

    fn recorder(&self) -> Option<Recorder> {
        let figures = (self.figures)()?;
        Some(Recorder {
            running: figures.connected && figures.store_trouble.is_none(),
            stored: figures.stored,
            repeated: figures.repeated,
            waiting: figures.waiting as u64,
            last_commit_ms: figures.last_commit_ms,
            commit_p99_ms: figures
                .last_commit_ms
                .map(|_| figures.commit_p99.as_secs_f64() * 1e3),
            error: figures.store_trouble.or(figures.trouble).or_else(|| {
                let count = Some(figures.turned_away).filter(|count| *count > 0)?;
                Some(format!(
                    "{count} messages of new devices are not recorded: too many came that nobody \
                     paired. `aldis hub pair` pairs yours, `aldis history --remove` removes others."
                ))
            }),
        })
    }
}

impl Web {
    /// Starts the dashboard.
    pub async fn start(
        &self,
        scene: &Scene,
        broker: Broker,
        history: History,
        figures: impl Fn() -> Option<Figures> + Send + Sync + 'static,
    ) -> Result<RunningDashboard, String> {
        let mut listen = self.listen;
        // Whoever did not ask for this port gets another when it is taken.
        if !self.asked {
            listen = free(listen);
        }
        let mut secure = self.secure.clone();
        if let Some(secure) = &mut secure {
            secure.files.listen = free(secure.files.listen);
        }
        let options = DashboardOptions {
            listen,
            tls: secure.as_ref().map(|secure| secure.files.clone()),
            name: self.name.clone(),
            broker,
            prefixes: vec![DEFAULT_PREFIX.to_owned()],
            history,
            owner: Arc::new(KeysOwner {
                keys: scene.keys.clone(),
                set: scene.set_password.clone(),
            }),
            vitals: Arc::new(Hub {
                process: Process::new(&scene.data),
                figures,
            }),
            ca_pem: secure.as_ref().and_then(|secure| secure.ca_pem.clone()),
            urls: urls(secure.as_ref(), listen),
            names: match &secure {
                Some(secure) => secure.hosts.clone(),
                None => fixed_names([]),
            },
            sessions: Some(scene.data.join("sessions.json")),
            now: system_clock(),
        };
        Dashboard::start(options)
            .await
            .map_err(|error| error.to_string())
    }
}

/// The address, with a port of the system's choice if its own is taken.
fn free(listen: SocketAddr) -> SocketAddr {
    match TcpListener::bind(listen) {
        Ok(_) => listen,
        // The port is kept for the moment that it takes to start: it is in the addresses that
        // the dashboard is told.
        Err(_) => TcpListener::bind(SocketAddr::new(listen.ip(), 0))
            .and_then(|listener| listener.local_addr())
            .unwrap_or(SocketAddr::new(listen.ip(), 0)),
    }
}

/// Under which addresses a phone finds it.
fn urls(secure: Option<&Secure>, listen: SocketAddr) -> Urls {
    match secure {
        Some(secure) => {
            let (port, names) = (secure.files.listen.port(), secure.names.clone());
            let host = |name: &String| match name.parse::<IpAddr>() {
                Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
                _ => name.clone(),
            };
            let url = move |name: &String| format!("https://{}:{port}", host(name));
            Arc::new(move || names().iter().map(&url).collect())
        }
        None if listen.ip().is_loopback() || listen.ip().is_unspecified() => fixed_urls(Vec::new()),
        None => fixed_urls(vec![format!("http://{listen}")]),
    }
}

/// The address as it is typed into a browser on this machine.
pub fn typed(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port()),
        _ => addr,
    }
}

#[cfg(test)]
mod tests {
    use aldis_hub::{KeysFile, hash_password};

    use super::*;

    /// The machine gets another address, and the QR code leads nowhere.
    #[test]
    fn addresses_are_those_of_the_moment() {
        let now = Arc::new(std::sync::Mutex::new(vec!["192.168.1.5".to_owned()]));
        let names = now.clone();
        let secure = Secure {
            files: TlsFiles {
                listen: (Ipv4Addr::UNSPECIFIED, 8443).into(),
                cert: PathBuf::new(),
                key: PathBuf::new(),
            },
            ca_pem: None,
            names: Arc::new(move || names.lock().unwrap().clone()),
            hosts: fixed_names([]),
        };
        let urls = urls(Some(&secure), (Ipv4Addr::UNSPECIFIED, 8080).into());
        assert_eq!(urls(), ["https://192.168.1.5:8443"]);
        *now.lock().unwrap() = vec!["10.0.0.7".to_owned(), "fd00::1".to_owned()];
        assert_eq!(urls(), ["https://10.0.0.7:8443", "https://[fd00::1]:8443"]);
    }

    /// A password that was changed a moment ago still opens the dashboard, or the mark is of
    /// another one than that which was compared.
    #[test]
    fn a_mark_is_of_the_password_that_was_compared() {
        let dir = tempfile::tempdir().unwrap();
        let owner = KeysOwner {
            keys: Keyring::open(dir.path()).unwrap(),
            set: "aldis hub password".to_owned(),
        };
        assert!(owner.verify("").unwrap_err().contains("aldis hub password"));
        let mut marks = Vec::new();
        for password in ["correct horse", "battery staple"] {
            KeysFile::of(dir.path())
                .update(|keys| {
                    keys.owner = Some(hash_password(password).unwrap());
                    Ok(())
                })
                .unwrap();
            let mark = owner.verify(password).unwrap();
            assert_eq!(mark, Some(owner.mark()));
            assert_eq!(owner.verify("guess").unwrap(), None);
            marks.push(mark);
        }
        assert_ne!(marks[0], marks[1]);
        assert_eq!(owner.verify("correct horse").unwrap(), None);
    }
}
