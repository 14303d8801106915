//! The hub's place in its network: its own certificate, and its announcement.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aldis_dashboard::TlsFiles;
use aldis_hub::{RunningHub, TlsConfig};
use aldis_place::{Announced, Announcement, Certified, CertifiedOptions, Machine, Service};
use tokio::sync::watch;

use super::parts::web::Secure;
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
}

impl Plan {
    /// According to flags; `tls` is where to speak TLS with a certificate of the hub's own.
    pub fn new(args: &Args, tls: Option<OwnTls>) -> Result<Self, String> {
        let name = args.name.clone().filter(|name| !name.is_empty());
        let machine =
            Machine::look(name.as_deref()).map_err(|error| format!("`--name`: {error}"))?;
        Ok(Self {
            machine,
            name,
            announce: !args.no_announce,
            tls,
        })
    }
}

/// The hub's place before the hub runs: with a certificate, if it needs one.
pub struct Place {
    machine: Machine,
    announce: bool,
    certified: Option<Certified>,
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
            names,
            tls: None,
        };
        let Some(tls) = plan.tls else {
            return Ok(place);
        };
        let is_taken = !tls.asked
            && TcpListener::bind(tls.listen)
                .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
        if is_taken {
            tracing::error!(
                "the port {} for TLS is taken by another program; name another with `--tls`. The \
                 hub runs without TLS until then",
                tls.listen.port()
            );
        } else {
            place.tls = Some(tls.listen);
        }
        let options = CertifiedOptions {
            data: data.to_owned(),
            name: plan.name,
            also,
            now: SystemTime::now,
        };
        match Certified::start(options).await {
            Ok(certified) => place.certified = Some(certified),
            Err(error) if tls.asked => return Err(error.to_string()),
            // Who asked for other machines, not for TLS, has a hub without TLS.
            Err(error) => tracing::error!("{error}. The hub runs without TLS until then"),
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

    /// HTTPS there with the hub's own certificate, if it has one.
    pub fn https(&self, listen: SocketAddr) -> Option<Secure> {
        let certified = self.certified.as_ref()?;
        let addresses = self.machine.addresses.iter().map(ToString::to_string);
        Some(Secure {
            files: TlsFiles {
                listen,
                cert: certified.certificate(),
                key: certified.key(),
            },
            ca_pem: certified.ca(),
            names: std::iter::once(self.name()).chain(addresses).collect(),
        })
    }

    /// The name under which the network finds the hub.
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
            _certified: self.certified,
        }
    }
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
    _certified: Option<Certified>,
}

impl RunningPlace {
    /// Says good-bye.
    pub async fn shutdown(self) {
        if let Some(announced) = self.announced {
            announced.shutdown().await;
        }
    }
}
