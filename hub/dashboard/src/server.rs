//! Starting and ending it all.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aldis_client::{Broker, Options, QoS};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};

use crate::connection::Hall;
use crate::error::DashboardError;
use crate::gate::{self, Way};
use crate::live::{Stage, Streams};
use crate::options::{DashboardOptions, TlsFiles};
use crate::sessions::Sessions;
use crate::shared::{Parts, Shared};
use crate::{api, feed, front, keeper};

/// How long ending may take.
const LIMIT: Duration = Duration::from_secs(2);
/// How long requests under way may take after the end was asked for.
const GRACE: Duration = Duration::from_secs(1);
/// How long the head of a request may take, and how long a connection may rest.
const HEAD: Duration = Duration::from_secs(20);
/// The longest head of a request; each connection has room for it.
const HEAD_BYTES: usize = 16 << 10;
const HEAD_BYTES_2: u32 = 16 << 10;
/// How many lines it may have.
const HEAD_LINES: usize = 64;
/// How often a connection over HTTP/2 is asked whether it lives.
const PING: Duration = Duration::from_secs(20);
/// How often the certificate's files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The dashboard.
#[derive(Debug)]
pub struct Dashboard;

/// A dashboard that runs.
#[derive(Debug)]
pub struct RunningDashboard {
    addr: SocketAddr,
    https_addr: Option<SocketAddr>,
    handle: Handle<SocketAddr>,
    secure: Handle<SocketAddr>,
    ending: watch::Sender<bool>,
    clients: Vec<aldis_client::Client>,
    /// What works for ever, each with its name.
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Dashboard {
    /// Binds the addresses and starts everything. Neither broker nor store need be there yet.
    ///
    /// # Errors
    /// If an address or a certificate cannot be used.
    pub async fn start(options: DashboardOptions) -> Result<RunningDashboard, DashboardError> {
        for prefix in &options.prefixes {
            aldis_protocol::topic::check_prefix(prefix).map_err(|reason| {
                DashboardError::Prefix {
                    prefix: prefix.clone(),
                    reason,
                }
            })?;
        }
        let (listener, addr) = bind(options.listen)?;
        let secure = match &options.tls {
            Some(files) => {
                let config = certificate(files).await?;
                let (listener, addr) = bind(files.listen)?;
                Some((files.clone(), config, listener, addr))
            }
            None => None,
        };

        let (client, events) = connect(&options.broker, "aldis-dashboard", |mut client| {
            for filter in options
                .prefixes
                .iter()
                .flat_map(|prefix| feed::filters(prefix))
            {
                client = client.subscribe(filter, QoS::AtLeastOnce);
            }
            client
        })?;
        let (onlooker, seen) = connect(&options.broker, "aldis-onlooker", |client| {
            client.subscribe("#", QoS::AtMostOnce)
        })?;

        let (ending, ended) = watch::channel(false);
        let hosts = (options.urls)()
            .iter()
            .filter_map(|url| host_of(url))
            .collect();
        let https_addr = secure.as_ref().map(|(.., addr)| *addr);
        let sessions = Sessions::open(options.sessions.clone(), (options.now)());
        let shared = Arc::new(Shared::new(
            options,
            Parts {
                hosts,
                http_port: addr.port(),
                https_port: https_addr.map(|addr| addr.port()),
                client: client.clone(),
                stage: Stage::new(Streams::new(ended)),
                sessions,
            },
        ));

        let hall = Hall::new();
        let handle = Handle::new();
        let secure_handle = Handle::new();
        let mut tasks = vec![
            (
                "feed of devices",
                tokio::spawn(feed::devices(shared.clone(), events)),
            ),
            (
                "feed of topics",
                tokio::spawn(feed::topics(shared.clone(), seen)),
            ),
            (
                "look at the store",
                tokio::spawn(keeper::devices(shared.clone())),
            ),
            (
                "look at the hub",
                tokio::spawn(keeper::health(shared.clone())),
            ),
        ];
        let plain = routes(&shared, Way { https: false });
        let server = axum_server::from_tcp(listener)
            .map_err(|source| DashboardError::Listen { addr, source })?
            .acceptor(hall.clone());
        let served =
            tuned(server, &handle).serve(plain.into_make_service_with_connect_info::<SocketAddr>());
        tasks.push(("server", tokio::spawn(report(served))));
        if let Some((files, config, listener, addr)) = secure {
            let routes = routes(&shared, Way { https: true });
            let acceptor = RustlsAcceptor::new(config.clone()).acceptor(hall);
            let server = axum_server::from_tcp(listener)
                .map_err(|source| DashboardError::Listen { addr, source })?
                .acceptor(acceptor);
            let served = tuned(server, &secure_handle)
                .serve(routes.into_make_service_with_connect_info::<SocketAddr>());
            tasks.push(("server of HTTPS", tokio::spawn(report(served))));
            tasks.push((
                "look at the certificate",
                tokio::spawn(renew(files, config)),
            ));
        }
        if !front::is_there() {
            tracing::warn!("the dashboard's pages were not built in; its address says how");
        }
        Ok(RunningDashboard {
            addr,
            https_addr,
            handle,
            secure: secure_handle,
            ending,
            clients: vec![client, onlooker],
            tasks,
        })
    }
}

impl RunningDashboard {
    /// Where HTTP is spoken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where HTTPS is spoken, if anywhere.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.https_addr
    }

    /// Waits for the end of what works for ever; gives what it was, and how it ended. Then the
    /// dashboard is of little use any more.
    pub async fn ended(&mut self) -> (String, Result<(), JoinError>) {
        if self.tasks.is_empty() {
            return std::future::pending().await;
        }
        let handles = self.tasks.iter_mut().map(|(_, task)| task);
        let (ended, at, _) = futures::future::select_all(handles).await;
        // What has ended is not waited for again.
        let (name, _) = self.tasks.swap_remove(at);
        (format!("the dashboard's {name}"), ended)
    }

    /// Ends it, within two seconds.
    pub async fn shutdown(self) {
        // Pages would hold their streams open for ever.
        let _ = self.ending.send(true);
        self.handle.graceful_shutdown(Some(GRACE));
        self.secure.graceful_shutdown(Some(GRACE));
        let ended = async {
            futures::future::join_all(self.clients.iter().map(aldis_client::Client::stop)).await;
            let gone =
                || self.handle.connection_count() == 0 && self.secure.connection_count() == 0;
            while !gone() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(LIMIT, ended).await;
        for (_, task) in self.tasks {
            task.abort();
        }
    }
}

/// A client whose name is nobody else's, so that two dashboards do not take turns.
fn connect(
    broker: &Broker,
    name: &str,
    subscribe: impl FnOnce(Options) -> Options,
) -> Result<(aldis_client::Client, aldis_client::Events), DashboardError> {
    let id = format!("{name}-{:08x}", fastrand::u32(..));
    Ok(aldis_client::start(subscribe(Options::new(
        broker.clone(),
        id,
    )))?)
}

fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), DashboardError> {
    let listen = || {
        let listener = TcpListener::bind(addr)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    listen().map_err(|source| DashboardError::Listen { addr, source })
}

fn routes(shared: &Arc<Shared>, way: Way) -> Router {
    Router::new()
        .merge(api::routes(shared))
        .route("/trust", get(front::trust))
        .route("/trust.css", get(front::style))
        .route("/ca.pem", get(front::ca))
        .fallback(front::serve)
        .layer(from_fn_with_state(shared.clone(), gate::door))
        .layer(axum::Extension(way))
        .layer(from_fn(gate::headers))
        .with_state(shared.clone())
}

fn tuned<A>(
    mut server: Server<SocketAddr, A>,
    handle: &Handle<SocketAddr>,
) -> Server<SocketAddr, A> {
    let builder = server.http_builder();
    builder
        .http1()
        .header_read_timeout(HEAD)
        .max_headers(HEAD_LINES)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .max_header_list_size(HEAD_BYTES_2)
        .max_concurrent_streams(64)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    server.handle(handle.clone()).first_request_timeout(HEAD)
}

async fn report(served: impl Future<Output = io::Result<()>>) {
    if let Err(error) = served.await {
        tracing::error!("the dashboard ended: {error}");
    }
}

/// The name or address in an address, in small letters.
fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(gate::without_port(authority).to_ascii_lowercase())
}

async fn certificate(files: &TlsFiles) -> Result<RustlsConfig, DashboardError> {
    RustlsConfig::from_pem_file(&files.cert, &files.key)
        .await
        .map_err(|error| DashboardError::Tls {
            cert: files.cert.clone(),
            key: files.key.clone(),
            reason: error.to_string(),
        })
}

/// Takes a new certificate when there is one.
async fn renew(files: TlsFiles, config: RustlsConfig) {
    let mut known = when(&files);
    loop {
        sleep(LOOK).await;
        look(&files, &config, &mut known).await;
    }
}

/// A certificate that cannot be used changes nothing.
async fn look(files: &TlsFiles, config: &RustlsConfig, known: &mut Times) {
    let now = when(files);
    if now == *known {
        return;
    }
    *known = now;
    match config.reload_from_pem_file(&files.cert, &files.key).await {
        Ok(()) => tracing::info!("the dashboard has a new certificate"),
        // Both are written one after the other: the next look mends it.
        Err(error) => tracing::warn!(
            "the new certificate {} cannot be used ({error}); the one before it stays",
            files.cert.display()
        ),
    }
}

/// When certificate and key were written, and how long they are.
type Times = [Option<(SystemTime, u64)>; 2];

fn when(files: &TlsFiles) -> Times {
    let of = |path| -> io::Result<(SystemTime, u64)> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.modified()?, metadata.len()))
    };
    [of(&files.cert).ok(), of(&files.key).ok()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A phone that comes by the printed address is turned away.
    #[test]
    fn names_are_taken_from_the_addresses() {
        for (url, host) in [
            ("https://hub.local:8443", Some("hub.local")),
            ("https://Hub.Local/", Some("hub.local")),
            ("https://[fe80::1]:8443/x", Some("[fe80::1]")),
            ("hub.local", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }

    /// A dashboard that shows what was, or none, with nobody to see why.
    #[tokio::test]
    async fn an_end_that_nobody_asked_for_is_told() {
        let (ending, _) = watch::channel(false);
        let mut dashboard = RunningDashboard {
            addr: "127.0.0.1:0".parse().unwrap(),
            https_addr: None,
            handle: Handle::new(),
            secure: Handle::new(),
            ending,
            clients: Vec::new(),
            tasks: vec![
                ("feed", tokio::spawn(std::future::pending())),
                ("server", tokio::spawn(async { panic!("broken") })),
            ],
        };
        let (what, how) = dashboard.ended().await;
        assert_eq!(what, "the dashboard's server");
        assert!(how.unwrap_err().is_panic());
        assert!(timeout(Duration::ZERO, dashboard.ended()).await.is_err());
        dashboard.shutdown().await;
    }

    /// A certificate that was written badly ends the dashboard, or all that comes after it.
    #[tokio::test]
    async fn a_certificate_that_is_none_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            listen: "127.0.0.1:0".parse().unwrap(),
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        };
        let write = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
            fs::write(&files.cert, made.cert.pem()).unwrap();
        };
        write();
        let config = certificate(&files).await.unwrap();
        let mut known = when(&files);
        let first = config.get_inner();
        look(&files, &config, &mut known).await;
        assert!(Arc::ptr_eq(&first, &config.get_inner()));
        fs::write(&files.cert, "none").unwrap();
        look(&files, &config, &mut known).await;
        assert!(Arc::ptr_eq(&first, &config.get_inner()));
        fs::remove_file(&files.cert).unwrap();
        look(&files, &config, &mut known).await;
        assert!(Arc::ptr_eq(&first, &config.get_inner()));
        write();
        look(&files, &config, &mut known).await;
        assert!(!Arc::ptr_eq(&first, &config.get_inner()));
    }
}
