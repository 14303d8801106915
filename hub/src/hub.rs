//! Starting a hub and ending it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use rmqtt::context::ServerContext;
use rmqtt::net::{Bounds as DoorBounds, Builder, Door, Error, Listener};
use rmqtt::server::MqttServer;
use rmqtt::shared::DefaultShared;
use rmqtt::types::{ListenerConfig, ListenerId};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cluster::{self, Cluster};
use crate::config::{HubConfig, Limits};
use crate::descriptors;
use crate::error::HubError;
use crate::fit::Bounds;
use crate::gate::Gate;
use crate::keys::{INNER, Keyring, OWNER, letters};
use crate::peers::Peers;
use crate::port::{self, Reserved};
use crate::reach::Reach;
use crate::received::Received;
use crate::retained::Retained;
use crate::sessions::{Again, Keeper};
use crate::share::RoundRobin;
use crate::sizes;
use crate::store::{Contents, Store};
use crate::tls::Tls;

/// The longest time that [`RunningHub::shutdown`] takes.
pub const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

// The parts of it.
const COLLECT_LIMIT: Duration = Duration::from_millis(400);
const STORE_LIMIT: Duration = Duration::from_millis(1000);
const TASKS_LIMIT: Duration = Duration::from_millis(400);

// Stored sessions name the listener they came from, so these numbers stay.
const TCP: ListenerId = 1;
const WEBSOCKET: ListenerId = 2;
const TLS: ListenerId = 3;
const TCP_ALSO: ListenerId = 4;

/// How often the file with the keys is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The letters of the secret of the hub's own parts: 260 bits.
const SECRET_LEN: usize = 52;

/// How many messages may be on their way to a client unacknowledged.
pub const INFLIGHT: NonZeroU16 = NonZeroU16::new(64).unwrap();
/// How many topic aliases a client may use.
const TOPIC_ALIASES: u16 = 16;

/// The broker of an Aldis installation.
#[derive(Debug)]
pub struct Hub;

/// A hub that serves clients until it is shut down or dropped.
///
/// [`shutdown`](Self::shutdown) stores everything; dropping stores what it can without
/// waiting.
pub struct RunningHub {
    addresses: Addresses,
    secret: String,
    store: Store,
    server: JoinHandle<()>,
    cluster: Option<Arc<Cluster>>,
    /// Ends the broker; answers when what waits for connected clients is stored.
    stop: Option<oneshot::Sender<oneshot::Sender<()>>>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Clone, Copy)]
struct Addresses {
    mqtt: SocketAddr,
    mqtt_also: Option<SocketAddr>,
    websocket: Option<SocketAddr>,
    tls: Option<SocketAddr>,
}

impl Hub {
    /// Starts a hub; when this returns, clients can connect.
    pub async fn start(config: HubConfig) -> Result<RunningHub, HubError> {
        check(&config)?;
        let secret = letters(SECRET_LEN);
        let (store, contents) = Store::open(config.data.as_deref())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("aldis-hub")
            .enable_all()
            .build()
            .map_err(|error| HubError::Runtime(error.to_string()))?;
        let mut starting = Starting {
            store: store.clone(),
            runtime: Some(runtime),
        };
        let launched = starting
            .spawn(launch(config, secret.clone(), store.clone(), contents))
            .await?;
        Ok(RunningHub {
            addresses: launched.addresses,
            secret,
            store,
            server: launched.server,
            cluster: launched.cluster,
            stop: Some(launched.stop),
            runtime: starting.runtime.take(),
        })
    }
}

/// A hub that may still fail to start, or not be wanted any more: joining a cluster takes as
/// long as it takes.
struct Starting {
    store: Store,
    runtime: Option<Runtime>,
}

impl Starting {
    async fn spawn(
        &self,
        launch: impl Future<Output = Result<Launched, HubError>> + Send + 'static,
    ) -> Result<Launched, HubError> {
        let Some(runtime) = &self.runtime else {
            return Err(HubError::Runtime("it has ended".to_owned()));
        };
        let launched = runtime.spawn(launch).await;
        launched.unwrap_or_else(|error| Err(HubError::Runtime(error.to_string())))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            self.store.close(STORE_LIMIT);
            runtime.shutdown_background();
        }
    }
}

impl RunningHub {
    /// Where MQTT is spoken over TCP.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.addresses.mqtt
    }

    /// The second address where MQTT is spoken over TCP, if there is one.
    pub fn mqtt_addr_also(&self) -> Option<SocketAddr> {
        self.addresses.mqtt_also
    }

    /// The user name and the password of the hub's own parts, who may do everything. They
    /// are made anew at each start and written down nowhere.
    pub fn inner(&self) -> (String, String) {
        (INNER.to_owned(), self.secret.clone())
    }

    /// Where MQTT is spoken over WebSocket, if anywhere.
    pub fn websocket_addr(&self) -> Option<SocketAddr> {
        self.addresses.websocket
    }

    /// Where MQTT is spoken over TLS, if anywhere.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.addresses.tls
    }

    /// Waits until the hub can be of no use any more, and says why: a broker that ended unasked, or
    /// a part of a cluster that has fallen apart, has to be started again.
    pub async fn ended(&mut self) -> HubError {
        let apart = async {
            match &self.cluster {
                Some(cluster) => cluster.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = apart => error,
            ended = &mut self.server => HubError::Ended(match ended {
                Ok(()) => "its log says why".to_owned(),
                Err(error) => error.to_string(),
            }),
        }
    }

    /// Ends the hub within [`SHUTDOWN_LIMIT`]: no more connections, everything stored,
    /// every connection closed, the ports and the data directory free.
    pub async fn shutdown(mut self) {
        self.server.abort();
        if let Some(stop) = self.stop.take() {
            let (stored, collected) = oneshot::channel();
            if stop.send(stored).is_ok()
                && tokio::time::timeout(COLLECT_LIMIT, collected)
                    .await
                    .is_err()
            {
                tracing::error!("not every waiting message could be stored in time");
            }
        }
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        let store = self.store.clone();
        let (ended, end) = oneshot::channel();
        // Closing waits for threads, which an async task must not.
        let closer = std::thread::Builder::new().spawn(move || {
            store.close(STORE_LIMIT);
            runtime.shutdown_timeout(TASKS_LIMIT);
            let _ = ended.send(());
        });
        if closer.is_ok() {
            let _ = end.await;
        }
    }
}

impl Drop for RunningHub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            self.server.abort();
            self.store.close(STORE_LIMIT);
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for RunningHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningHub")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// A broker that runs.
struct Launched {
    addresses: Addresses,
    server: JoinHandle<()>,
    cluster: Option<Arc<Cluster>>,
    stop: oneshot::Sender<oneshot::Sender<()>>,
}

/// Finds mistakes that would otherwise show only when somebody connects.
fn check(config: &HubConfig) -> Result<(), HubError> {
    let keys = config.keys.as_ref().map(Keyring::current);
    let mut others = Vec::new();
    if let Some(keys) = &keys {
        // Nobody else has this name, though there may be no password yet.
        others.push(OWNER);
        others.extend(keys.devices.keys().map(String::as_str));
    }
    config.access.check(&others)?;
    for user in config.access.nobodies(&others) {
        tracing::warn!(
            "a rule is about the user `{user}`, who is neither listed under `[[user]]` nor paired \
             (`aldis hub devices` lists those); it counts when somebody has that name"
        );
    }
    match &config.cluster {
        Some(cluster) => cluster.check(),
        None => Ok(()),
    }
}

/// Takes up keys that are changed while the hub runs, for ever.
async fn follow(keys: Keyring, gate: Gate) {
    // Also those who were nobody before the start.
    let mut before = None;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let ring = keys.clone();
        let _ = tokio::task::spawn_blocking(move || ring.refresh()).await;
        // Others refresh it as well.
        let now = keys.current();
        if before
            .as_ref()
            .is_none_or(|before| !Arc::ptr_eq(before, &now))
        {
            gate.put_out(&now).await;
            before = Some(now);
        }
    }
}

/// Builds the broker inside its runtime.
async fn launch(
    config: HubConfig,
    secret: String,
    store: Store,
    contents: Contents,
) -> Result<Launched, HubError> {
    let (listeners, part) = match &config.cluster {
        // A port that is taken is told at once.
        None => (Some(listen(&config)?), None),
        // Nobody is to connect before it has joined.
        Some(part) => (None, Some(part.clone())),
    };

    // The check would refuse clients whenever anything else on the PC is busy.
    let mut builder = ServerContext::new().busy_check_enable(false);
    if let Some(part) = &part {
        builder = cluster::prepare(builder, part);
    }
    let broker = builder.build().await;
    let received = Received::default();
    let reach = Reach::default();
    let table = DefaultShared::new(Some(broker.clone()));
    let peers = Peers::new(table.clone(), received.clone(), None);
    *broker.extends.shared_mut().await = Box::new(peers);
    let hooks = broker.extends.hook_mgr().register();
    let gate = Gate::new(
        broker.clone(),
        store.clone(),
        config.access.clone(),
        config.keys.clone(),
        secret,
        vec![WEBSOCKET],
    );
    gate.install(hooks.as_ref()).await;
    received.install(hooks.as_ref()).await;
    sizes::install(hooks.as_ref()).await;
    let keeper = Keeper::new(store.clone());
    keeper.install(hooks.as_ref()).await;
    hooks.start().await;
    *broker.extends.fitter_mgr_mut().await = Box::new(Bounds);
    *broker.extends.shared_subscription_mut().await = Box::new(RoundRobin::new(reach.clone()));
    let retained = Retained::load(store.clone(), contents.retained, part.is_some()).await;
    *broker.extends.retain_mut().await = Box::new(retained);
    let cluster = match &part {
        Some(part) => {
            let with = |cluster| Peers::new(table, received, Some(cluster));
            Some(cluster::join(&broker, part, reach, store.clone(), with).await?)
        }
        None => None,
    };

    let Listeners {
        addresses,
        fallback,
        listeners,
        certificate,
    } = match listeners {
        Some(listeners) => listeners,
        None => listen(&config)?,
    };
    let mut server = MqttServer::new(broker.clone());
    for (id, listener) in listeners {
        server = server.listener_by_id(listener, id);
    }
    let server = server.build();
    // Clients that connect meanwhile wait in the listeners' backlog.
    let again = Again {
        broker: &broker,
        store: &store,
        listener: &fallback,
        cluster: cluster.as_deref(),
    };
    again.rebuild(contents.sessions).await;
    let keys = config.keys;
    let server = tokio::spawn(async move {
        let plain = async {
            if let Err(error) = server.run().await {
                tracing::error!("the broker ended: {error:#}");
            }
        };
        let renewing = async {
            match certificate {
                Some(certificate) => certificate.follow().await,
                None => std::future::pending().await,
            }
        };
        // Keys that are taken away would open the door for ever.
        let following = async {
            match keys {
                Some(keys) => follow(keys, gate).await,
                None => std::future::pending().await,
            }
        };
        // None of them ends as long as all is well.
        tokio::select! {
            () = plain => {}
            () = renewing => {}
            () = following => {}
        }
    });

    let (stop, stopped) = oneshot::channel::<oneshot::Sender<()>>();
    tokio::spawn(async move {
        if let Ok(stored) = stopped.await {
            let held = keeper.stop(&broker).await;
            let _ = stored.send(());
            // Until the runtime ends.
            std::future::pending::<()>().await;
            drop(held);
        }
    });
    Ok(Launched {
        addresses,
        server,
        cluster,
        stop,
    })
}

/// Where clients connect.
struct Listeners {
    addresses: Addresses,
    /// The configuration of the first, for sessions of one that is not there any more.
    fallback: ListenerConfig,
    listeners: Vec<(ListenerId, Listener)>,
    /// What the one for TLS shows.
    certificate: Option<Tls>,
}

/// The door that all listeners of a hub share.
fn door(limits: &Limits) -> Door {
    let open = descriptors::for_connections(descriptors::raise());
    Door::new(DoorBounds {
        patience: limits.connect,
        waiting: limits.waiting.min(open / 4).max(1),
        open,
    })
}

fn listen(config: &HubConfig) -> Result<Listeners, HubError> {
    let limits = &config.limits;
    let door = door(limits);
    let mut listeners = Vec::new();
    let (mqtt, listener) = bind("mqtt", config.listen, limits, Builder::bind)?;
    let fallback = listener.cfg.clone();
    listeners.push((TCP, Listener::new(listener, door.clone())));
    let mut addresses = Addresses {
        mqtt,
        mqtt_also: None,
        websocket: None,
        tls: None,
    };
    if let Some(addr) = config.listen_also {
        match bind("mqtt", addr, limits, Builder::bind) {
            Ok((addr, listener)) => {
                addresses.mqtt_also = Some(addr);
                listeners.push((TCP_ALSO, Listener::new(listener, door.clone())));
            }
            Err(error) if is_elsewhere(&error) => {
                tracing::debug!("this machine does not have the address {addr}");
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(addr) = config.websocket {
        let (addr, listener) = bind("websocket", addr, limits, Builder::bind)?;
        let listener = listener
            .ws()
            .map_err(|error| HubError::Runtime(format!("{error:#}")))?;
        addresses.websocket = Some(addr);
        listeners.push((WEBSOCKET, Listener::new(listener, door.clone())));
    }
    let certificate = match &config.tls {
        Some(config) => {
            let tls = Tls::read(config.clone())?;
            let secure = |cfg| Ok(Listener::tls(cfg, tls.certificate(), door)?);
            let (addr, listener) = bind("tls", config.listen, limits, secure)?;
            addresses.tls = Some(addr);
            listeners.push((TLS, listener));
            Some(tls)
        }
        None => None,
    };
    Ok(Listeners {
        addresses,
        fallback,
        listeners,
        certificate,
    })
}

/// Whether an address could not be bound because this machine does not have it.
fn is_elsewhere(error: &HubError) -> bool {
    let HubError::Listen { reason, .. } = error else {
        return false;
    };
    // Without IPv6 in the system there are no such sockets at all.
    matches!(
        reason.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    )
}

/// Binds a listener and tells the address it got.
fn bind<L>(
    name: &str,
    addr: SocketAddr,
    limits: &Limits,
    listen: impl FnOnce(Builder) -> Result<L, Error>,
) -> Result<(SocketAddr, L), HubError> {
    let failed = |reason: io::Error| match reason.kind() {
        io::ErrorKind::AddrInUse => HubError::PortTaken {
            addr,
            holder: port::holder(addr.port()),
        },
        _ => HubError::Listen { addr, reason },
    };
    let reserved: Option<Reserved> = match addr.port() {
        0 => Some(port::reserve(addr).map_err(failed)?),
        _ => None,
    };
    let bound = reserved.as_ref().map_or(addr, |reserved| reserved.addr);
    let builder = Builder::new()
        .name(name)
        .laddr(bound)
        .nodelay(true)
        .handshake_timeout(limits.connect)
        // A restarted hub gets its port back at once; on Windows it would share it.
        .reuseaddr(
            cfg!(unix)
                .then_some(true)
                .or(reserved.is_some().then_some(true)),
        )
        .reuseport(reserved.is_some().then_some(true))
        // The gate decides; the broker's own shortcut would skip it.
        .allow_anonymous(false)
        .max_inflight(INFLIGHT)
        .max_mqueue_len(limits.queue)
        .max_packet_size(limits.packet)
        .max_topic_aliases(TOPIC_ALIASES)
        .session_expiry_interval(limits.session_expiry)
        .max_session_expiry_interval(limits.session_expiry)
        // Messages without an expiry of their own do not expire, and PUBLISH is sent
        // again only on a new connection, as MQTT 5 demands.
        .message_expiry_interval(Duration::ZERO)
        .message_retry_interval(Duration::ZERO);
    let listener = listen(builder).map_err(|error| match error.downcast::<io::Error>() {
        Ok(reason) => failed(reason),
        Err(error) => HubError::Runtime(format!("{error:#}")),
    })?;
    Ok((bound, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that died is missed by nobody while the process lives.
    #[tokio::test]
    async fn a_broker_that_ends_unasked_is_told() {
        let mut hub = Hub::start(HubConfig::ephemeral()).await.unwrap();
        let waited = tokio::time::timeout(Duration::ZERO, hub.ended());
        assert!(waited.await.is_err());
        hub.server.abort();
        assert!(matches!(hub.ended().await, HubError::Ended(_)));
        hub.shutdown().await;
    }
}
