//! The hub in multicast DNS: its services, and the machine's name where nobody else tells it.
//!
//! Most machines have a program that answers for `NAME.local` already (avahi, systemd-resolved,
//! mDNSResponder). Two that answer for one name take each other for a stranger and rename the
//! machine. So the name is asked for first: where an answer is this machine's own address, the
//! hub announces its services under a name beside it, and leaves the other one alone.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use mdns_sd::{
    DaemonEvent, DaemonStatus, HostnameResolutionEvent, IfKind, RRType, Receiver, ServiceDaemon,
    ServiceInfo,
};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};

use crate::error::PlaceError;
use crate::machine::label;

/// How long an answer to the question for a name may take. Answers come within half a second
/// (RFC 6762, 6), and a question may be lost.
const ASK: Duration = Duration::from_millis(1_800);
/// How long a machine without a network waits for the next look.
const NO_NETWORK: Duration = Duration::from_secs(2);
/// How often the library looks at the machine's addresses.
const ADDRESSES_S: u32 = 3;
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many names are tried.
const NAMES: u32 = 20;
/// Where avahi's programs find their daemon.
const AVAHI: &str = "/run/avahi-daemon/socket";

/// Something that the hub offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Such as `_mqtt._tcp`.
    pub kind: &'static str,
    /// Where it listens; nothing is said of one that is this machine's alone.
    pub listen: SocketAddr,
    /// What its TXT record says.
    pub text: Vec<(&'static str, String)>,
}

/// What is announced.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The name of the machine, without `.local`.
    pub name: String,
    /// What it offers.
    pub services: Vec<Service>,
    /// How often to see whether another program answers for the name, or does not any more.
    pub look: Duration,
}

impl Announcement {
    /// A usual time between two looks.
    pub const LOOK: Duration = Duration::from_secs(20);
}

/// Who answers for the machine's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It is not known yet: there is no network.
    Nobody,
    /// The hub.
    Hub,
    /// Another program of this machine.
    System,
}

/// What is announced at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Who answers for the machine's name.
    pub holder: Holder,
    /// The name under which the machine is found, with `.local`.
    pub name: String,
    /// The names that the hub's services have as their host's.
    pub names: Vec<String>,
}

/// The hub is announced as long as this lives.
#[derive(Debug)]
pub struct Announced {
    state: watch::Receiver<State>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Announced {
    /// Announces the hub, and tells the names that clients see, for which the certificate is to
    /// be. A network that is away is waited for.
    ///
    /// # Errors
    /// If the name cannot be one, or the port of multicast DNS cannot be shared.
    pub fn start(
        announcement: Announcement,
        names: watch::Sender<Vec<String>>,
    ) -> Result<Self, PlaceError> {
        let name = label(&announcement.name)?;
        let daemon = ServiceDaemon::new().map_err(failed)?;
        daemon
            .disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])
            .and_then(|()| daemon.set_ip_check_interval(ADDRESSES_S))
            .map_err(failed)?;
        let events = daemon.monitor().map_err(failed)?;
        let (state, seen) = watch::channel(State {
            holder: Holder::Nobody,
            name: format!("{name}.local"),
            names: Vec::new(),
        });
        let (stop, stopped) = oneshot::channel();
        let announcer = Announcer {
            daemon,
            name,
            services: announcement.services,
            look: announcement.look,
            registered: Vec::new(),
            state,
            names,
        };
        let task = tokio::spawn(announcer.run(events, stopped));
        Ok(Self {
            state: seen,
            stop: Some(stop),
            task: Some(task),
        })
    }

    /// What is announced, and the changes of it.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until it is not announced any more, though nobody asked for that.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        match &mut self.task {
            Some(task) => {
                let ended = task.await;
                self.task = None;
                ended
            }
            None => std::future::pending().await,
        }
    }

    /// Says good-bye, within about a second.
    pub async fn shutdown(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            let _ = timeout(FAREWELL * 2, task).await;
        }
    }
}

struct Announcer {
    daemon: ServiceDaemon,
    /// The name that is wanted.
    name: String,
    services: Vec<Service>,
    look: Duration,
    /// The whole names of the services that are announced.
    registered: Vec<String>,
    state: watch::Sender<State>,
    names: watch::Sender<Vec<String>>,
}

impl Announcer {
    async fn run(mut self, events: Receiver<DaemonEvent>, mut stopped: oneshot::Receiver<()>) {
        tokio::select! {
            _ = &mut stopped => {}
            () = self.announce(&events) => {}
        }
        // It says good-bye for everything that it announced.
        if let Ok(done) = self.daemon.shutdown() {
            let done = async {
                while let Ok(status) = done.recv_async().await {
                    if status == DaemonStatus::Shutdown {
                        break;
                    }
                }
            };
            let _ = timeout(FAREWELL, done).await;
        }
    }

    /// Announces for ever.
    async fn announce(&mut self, events: &Receiver<DaemonEvent>) {
        loop {
            let own = own_addresses();
            if own.is_empty() {
                sleep(NO_NETWORK).await;
                continue;
            }
            let avahi = Path::new(AVAHI).exists();
            let (name, holder) = self.find_name(&own).await;
            self.register(&name, holder);
            self.watch(events, &name, holder, avahi).await;
            self.withdraw().await;
        }
    }

    /// The first name that is this machine's or nobody's, and who answers for it.
    async fn find_name(&self, own: &BTreeSet<IpAddr>) -> (String, Holder) {
        let mut name = self.name.clone();
        for number in 2..NAMES {
            let found = self.ask(&name).await;
            if found.is_empty() {
                return (name, Holder::Hub);
            }
            if found.iter().any(|ip| own.contains(ip)) {
                return (name, Holder::System);
            }
            let next = numbered(&self.name, number);
            tracing::warn!(
                "another machine is called {name}.local; this one is announced as {next}.local. \
                 Choose a name with `--name`"
            );
            name = next;
        }
        (name, Holder::Hub)
    }

    /// The addresses that others give for a name.
    async fn ask(&self, name: &str) -> BTreeSet<IpAddr> {
        let mut found = BTreeSet::new();
        let limit = u64::try_from(ASK.as_millis()).ok();
        let host = format!("{name}.local.");
        let Ok(answers) = self.daemon.resolve_hostname(&host, limit) else {
            return found;
        };
        let gather = async {
            while let Ok(event) = answers.recv_async().await {
                match event {
                    HostnameResolutionEvent::AddressesFound(_, addresses) => {
                        found.extend(addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr));
                    }
                    HostnameResolutionEvent::SearchTimeout(_)
                    | HostnameResolutionEvent::SearchStopped(_) => break,
                    _ => {}
                }
            }
        };
        let _ = timeout(ASK * 2, gather).await;
        let _ = self.daemon.stop_resolve_hostname(&host);
        found
    }

    fn register(&mut self, name: &str, holder: Holder) {
        let host = match holder {
            Holder::System => beside(name),
            Holder::Hub | Holder::Nobody => name.to_owned(),
        };
        for service in &self.services {
            let ip = service.listen.ip();
            if ip.is_loopback() {
                continue;
            }
            match info(service, name, &host) {
                Ok(info) => {
                    let whole = info.get_fullname().to_owned();
                    match self.daemon.register(info) {
                        Ok(()) => self.registered.push(whole),
                        Err(error) => tracing::warn!("{}", failed(error)),
                    }
                }
                Err(error) => tracing::warn!("{}", failed(error)),
            }
        }
        self.tell(holder, name, &host);
    }

    fn tell(&self, holder: Holder, name: &str, host: &str) {
        let names = vec![format!("{host}.local")];
        let state = State {
            holder,
            name: format!("{name}.local"),
            names: names.clone(),
        };
        tracing::debug!("announced: {state:?}");
        self.names.send_if_modified(|before| {
            let is_new = *before != names;
            *before = names;
            is_new
        });
        self.state.send_if_modified(|before| {
            let is_new = *before != state;
            *before = state;
            is_new
        });
    }

    /// Waits until somebody else answers for the name, or nobody any more.
    async fn watch(
        &self,
        events: &Receiver<DaemonEvent>,
        name: &str,
        holder: Holder,
        mut avahi: bool,
    ) {
        let mut missed = 0;
        loop {
            tokio::select! {
                event = events.recv_async() => match event {
                    Ok(DaemonEvent::NameChange(change))
                        if matches!(change.rr_type, RRType::A | RRType::AAAA) =>
                    {
                        let new = change.new_name.trim_end_matches('.');
                        let new = new.strip_suffix(".local").unwrap_or(new);
                        tracing::warn!(
                            "another machine has the name {}; this one is announced as \
                             {new}.local. Choose a name with `--name`",
                            change.original.trim_end_matches('.')
                        );
                        match holder {
                            Holder::System => self.tell(holder, name, new),
                            Holder::Hub | Holder::Nobody => self.tell(holder, new, new),
                        }
                    }
                    Ok(DaemonEvent::Error(error)) => tracing::debug!("{}", failed(error)),
                    Ok(_) => {}
                    // The library's thread is gone.
                    Err(_) => std::future::pending().await,
                },
                () = sleep(self.look) => match holder {
                    Holder::System => {
                        missed = match self.ask(name).await.is_empty() {
                            true => missed + 1,
                            false => 0,
                        };
                        if missed == 2 {
                            tracing::info!("nobody answers for {name}.local any more");
                            return;
                        }
                    }
                    Holder::Hub | Holder::Nobody => {
                        let now = Path::new(AVAHI).exists();
                        if now && !avahi {
                            tracing::info!("avahi answers for this machine's name from now on");
                            return;
                        }
                        avahi = now;
                    }
                },
            }
        }
    }

    /// Takes everything back.
    async fn withdraw(&mut self) {
        for whole in self.registered.drain(..) {
            if let Ok(done) = self.daemon.unregister(&whole) {
                let _ = timeout(FAREWELL, done.recv_async()).await;
            }
        }
    }
}

/// The record of a service.
fn info(service: &Service, name: &str, host: &str) -> Result<ServiceInfo, mdns_sd::Error> {
    let text: HashMap<String, String> = service
        .text
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    let mut info = ServiceInfo::new(
        &format!("{}.local.", service.kind),
        &format!("Aldis on {name}"),
        &format!("{host}.local."),
        "",
        service.listen.port(),
        text,
    )?
    .enable_addr_auto();
    // An address where nobody listens costs a client a refused connection.
    info.set_interfaces(match service.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![IfKind::IPv4],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![IfKind::All],
        ip => vec![IfKind::Addr(ip)],
    });
    Ok(info)
}

/// A name beside the machine's.
fn beside(name: &str) -> String {
    ended(name, "-aldis")
}

fn numbered(name: &str, number: u32) -> String {
    ended(name, &format!("-{number}"))
}

/// A name with an end, at most 63 letters long.
fn ended(name: &str, end: &str) -> String {
    let room = 63_usize.saturating_sub(end.len());
    let begin: String = name.chars().take(room).collect();
    format!("{begin}{end}")
}

/// All addresses that this machine could answer with.
fn own_addresses() -> BTreeSet<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let own = interfaces.iter().map(if_addrs::Interface::ip);
    own.filter(|ip| !ip.is_loopback()).collect()
}

fn failed(error: mdns_sd::Error) -> PlaceError {
    PlaceError::Announce(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that is too long is no name, and nothing is announced.
    #[test]
    fn names_stay_names() {
        let long = "x".repeat(63);
        for name in [beside("kitchen"), beside(&long), numbered(&long, 19)] {
            assert_eq!(label(&name).unwrap(), name);
        }
        assert_eq!(beside("kitchen"), "kitchen-aldis");
        assert_eq!(numbered("kitchen", 2), "kitchen-2");
    }

    /// A client that takes the first address it is told is refused by a port that nobody opened.
    #[test]
    fn only_where_somebody_listens_is_announced() {
        let of = |listen: &str| Service {
            kind: "_mqtt._tcp",
            listen: listen.parse().unwrap(),
            text: vec![("product", "Aldis".to_owned())],
        };
        for listen in ["0.0.0.0:1883", "[::]:1884", "192.168.1.5:1"] {
            let service = of(listen);
            let info = info(&service, "kitchen", "kitchen-aldis").unwrap();
            assert_eq!(info.get_fullname(), "Aldis on kitchen._mqtt._tcp.local.");
            assert_eq!(info.get_hostname(), "kitchen-aldis.local.");
            assert_eq!(info.get_port(), service.listen.port());
            assert_eq!(info.get_property_val_str("product"), Some("Aldis"));
        }
    }
}
