//! The hub's place in its network: its own certificate, and its announcement.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use aldis_dashboard::{Names, TlsFiles, fixed_names};
use aldis_hub::{RunningHub, TlsConfig};
use aldis_place::{Announced, Announcement, Certified, CertifiedOptions, Machine, Service};
use tokio::sync::watch;

use super::parts::{
    self, after,
    web::{Look, Secure},
};
use super::unit::Flag;

/// The port of MQTT over TLS.
pub const TLS_PORT: u16 = 8883;

/// What the hub is called in its network.
#[derive(clap::Args)]
#[command(next_help_heading = "In the network")]
#[group(skip)]
pub struct Args {
    /// The name under which the network finds it, as NAME.local [default: this machine's]
    #[arg(long, value_name = "NAME", env = "ALDIS_HUB_NAME")]
    name: Option<String>,
    /// Do not announce the hub in the network (multicast DNS)
    #[arg(long)]
    no_announce: bool,
}

impl Args {
    /// Whether a flag was typed that means nothing to a command.
    pub fn is_given(&self) -> bool {
        self.no_announce || (self.name.is_some() && std::env::var_os("ALDIS_HUB_NAME").is_none())
    }

    /// What goes into a unit of the service.
    pub fn unit_flags(&self, flags: &mut Vec<Flag>) {
        flags.extend(self.name.clone().map(|name| Flag::Value("--name", name)));
        flags.extend(self.no_announce.then_some(Flag::Switch("--no-announce")));
    }
}

/// TLS with a certificate of the hub's own.
#[derive(Clone, Copy, Debug)]
pub struct OwnTls {
    /// Where.
    pub listen: SocketAddr,
    /// Whether it was asked for; otherwise the hub runs without it where it has to.
    pub asked: bool,
}

/// What is to be done in the network.
#[derive(Debug)]
pub struct Plan {
    machine: Machine,
    name: Option<String>,
    announce: bool,
    tls: Option<OwnTls>,
    certificate: Certificate,
}

/// Which certificate the dashboard has.
#[derive(Clone, Debug)]
pub enum Certificate {
    /// None: no other machine reaches it.
    None,
    /// One of the hub's own.
    Own,
    /// One that was given.
    Given {
        /// The file with the chain.
        cert: PathBuf,
        /// The file with its key.
        key: PathBuf,
    },
}

impl Plan {
    /// According to flags; `tls` is where to speak TLS with a certificate of the hub's own.
    pub fn new(args: &Args, tls: Option<OwnTls>, certificate: Certificate) -> Result<Self, String> {
        let name = args.name.clone().filter(|name| !name.is_empty());
        let machine =
            Machine::look(name.as_deref()).map_err(|error| format!("`--name`: {error}"))?;
        Ok(Self {
            machine,
            name,
            announce: !args.no_announce,
            tls,
            certificate,
        })
    }
}

/// The hub's place before the hub runs: with a certificate, if it needs one.
pub struct Place {
    machine: Machine,
    announce: bool,
    certified: Option<Certified>,
    certificate: Certificate,
    names: watch::Sender<Vec<String>>,
    tls: Option<SocketAddr>,
}

impl Place {
    /// Makes the certificate, or sees that it is good.
    pub async fn prepare(plan: Plan, data: &Path) -> Result<Self, String> {
        let (names, also) = watch::channel(Vec::new());
        let mut place = Self {
            machine: plan.machine,
            announce: plan.announce,
            certified: None,
            certificate: plan.certificate,
            names,
            tls: None,
        };
        if plan.tls.is_none() && !matches!(place.certificate, Certificate::Own) {
            return Ok(place);
        }
        if let Some(tls) = plan.tls {
            let is_taken = !tls.asked
                && TcpListener::bind(tls.listen)
                    .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
            if is_taken {
                tracing::error!(
                    "the port {} for TLS is taken by another program; name another with `--tls`. \
                     Until the hub is started anew, MQTT is without TLS",
                    tls.listen.port()
                );
            } else {
                place.tls = Some(tls.listen);
            }
        }
        let options = CertifiedOptions {
            data: data.to_owned(),
            name: plan.name,
            also,
            now: SystemTime::now,
        };
        match Certified::start(options).await {
            Ok(certified) => place.certified = Some(certified),
            Err(error) if plan.tls.is_some_and(|tls| tls.asked) => return Err(error.to_string()),
            // Who asked for other machines, not for TLS, has a hub without TLS.
            Err(error) => {
                tracing::error!("{error}. Until the hub is started anew, it runs without TLS");
            }
        }
        Ok(place)
    }

    /// TLS with the hub's own certificate, if there is to be any.
    pub fn tls(&self) -> Option<TlsConfig> {
        let certified = self.certified.as_ref()?;
        Some(TlsConfig {
            listen: self.tls?,
            cert: certified.certificate(),
            key: certified.key(),
        })
    }

    /// HTTPS there, if the hub has a certificate for it.
    pub fn https(&self, listen: SocketAddr) -> Option<Secure> {
        let (cert, key, ca_pem) = match (&self.certificate, &self.certified) {
            (Certificate::Given { cert, key }, _) => (cert.clone(), key.clone(), None),
            (_, Some(own)) => (own.certificate(), own.key(), Some(own.ca())),
            (_, None) => return None,
        };
        let certified = match ca_pem {
            None => aldis_place::names_of(&cert),
            Some(_) => Vec::new(),
        };
        let names: Look = match certified.is_empty() {
            false => Arc::new(move || certified.clone()),
            true => {
                let machine = self.machine.clone();
                Arc::new(move || names_now(&machine))
            }
        };
        Some(Secure {
            files: TlsFiles { listen, cert, key },
            ca_pem,
            hosts: self.hosts(names()),
            names,
        })
    }

    /// The names by which a browser may ask: these, the machine's, and those that are announced
    /// at the moment.
    fn hosts(&self, mut names: Vec<String>) -> Names {
        names.extend([self.machine.name.clone(), self.name()]);
        names.extend(self.machine.domain.clone());
        let (fixed, announced) = (fixed_names(names), self.names.subscribe());
        Arc::new(move |asked| {
            fixed(asked)
                || announced
                    .borrow()
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(asked))
        })
    }

    /// Waits for the end of what works for ever, and says what it was.
    pub async fn ended(&mut self) -> String {
        uncertified(self.certified.as_mut()).await
    }

    /// The name under which the network is to find the hub.
    pub fn name(&self) -> String {
        self.machine.local_name()
    }

    /// Announces what the hub offers to other machines, and `also` this. Where nothing is for
    /// them, or it was not to be, nothing is announced.
    pub fn announce(self, hub: &RunningHub, also: Vec<Service>) -> RunningPlace {
        let mut services = also;
        services.push(service("_mqtt._tcp", hub.mqtt_addr()));
        services.extend(
            hub.tls_addr()
                .map(|addr| service("_secure-mqtt._tcp", addr)),
        );
        services.retain(|service| !service.listen.ip().is_loopback());
        let name = self.name();
        let announced = if self.announce && !services.is_empty() {
            let announcement = Announcement {
                name: self.machine.name,
                services,
                look: Announcement::LOOK,
            };
            match Announced::start(announcement, self.names) {
                Ok(announced) => Some(announced),
                Err(error) => {
                    tracing::error!("{error}. The hub runs without that");
                    None
                }
            }
        } else {
            None
        };
        RunningPlace {
            name: announced.is_some().then_some(name),
            ca: self.certified.as_ref().map(Certified::ca),
            announced,
            certified: self.certified,
        }
    }
}

/// The name of a machine, and the addresses that it has by now.
fn names_now(machine: &Machine) -> Vec<String> {
    let addresses = match Machine::look(Some(&machine.name)) {
        Ok(now) => now.addresses,
        Err(_) => machine.addresses.clone(),
    };
    let addresses = addresses.iter().map(ToString::to_string);
    std::iter::once(machine.local_name())
        .chain(addresses)
        .collect()
}

/// Waits until nobody looks after the certificate any more, and says so.
async fn uncertified(certified: Option<&mut Certified>) -> String {
    let ended = after(certified.map(Certified::ended)).await;
    parts::ended("the care for the certificate", ended)
}

/// Something that listens there.
pub fn service(kind: &'static str, listen: SocketAddr) -> Service {
    Service {
        kind,
        listen,
        text: vec![
            ("product", "Aldis".to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ],
    }
}

/// The hub in its network.
pub struct RunningPlace {
    /// The name under which the network finds the hub, if it is announced.
    pub name: Option<String>,
    /// The file with the certificate of the hub's own authority, if it has one.
    pub ca: Option<PathBuf>,
    announced: Option<Announced>,
    certified: Option<Certified>,
}

impl RunningPlace {
    /// Waits for the end of what works for ever, and says what it was.
    pub async fn ended(&mut self) -> String {
        tokio::select! {
            ended = after(self.announced.as_mut().map(Announced::ended)) => {
                parts::ended("the announcement in the network", ended)
            }
            ended = uncertified(self.certified.as_mut()) => ended,
        }
    }

    /// Says good-bye.
    pub async fn shutdown(self) {
        if let Some(announced) = self.announced {
            announced.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// The dashboard refuses the name that the network is told, or takes any.
    #[tokio::test]
    async fn the_dashboard_answers_to_every_name_that_is_certified_or_announced() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan {
            machine: Machine {
                name: "kitchen".to_owned(),
                domain: Some("kitchen.example.org".to_owned()),
                addresses: [Ipv4Addr::new(192, 168, 1, 5).into()].into(),
            },
            name: Some("kitchen".to_owned()),
            announce: true,
            tls: None,
            certificate: Certificate::Own,
        };
        let place = Place::prepare(plan, dir.path()).await.unwrap();
        let secure = place.https((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        let knows = |name: &str| (secure.hosts)(name);
        for name in ["kitchen", "kitchen.local", "kitchen.example.org"] {
            assert!(knows(name), "{name}");
        }
        for name in ["kitchen-aldis.local", "kitchen-2.local"] {
            assert!(!knows(name), "{name}");
            place.names.send_replace(vec![name.to_owned()]);
            assert!(knows(name), "{name}");
        }
        assert!(!knows("kitchen-aldis.local") && !knows("evil.example") && !knows(""));
        // It still knows them when nothing is announced any more.
        drop(place);
        assert!(knows("kitchen-2.local"));
    }
}
