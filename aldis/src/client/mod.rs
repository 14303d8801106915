//! What the verbs that speak MQTT share: flags, the link, its errors.

mod args;
mod tap;
mod trace;

use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
use aldis_mqtt::link::{Clock, Link};
use aldis_mqtt::wire::{Properties, Property};
use aldis_mqtt::{
    Backoff, Buffers, Cause, CleanStart, Event, Network, Options, ReasonCode, Session, Slot,
    Versions,
};
use tokio::time::timeout;

pub use args::{Broker, BrokerArgs, ENVIRONMENT, SessionArgs, qos, url_and_topic};
pub use tap::Tap;

/// The exit code of mosquitto's tools for anything that has no other.
pub const FAILED: u8 = 1;
/// Their exit code when `-W` has ended them.
pub const TIMED_OUT: u8 = 27;
/// How many bytes of packets are written together.
pub const TOGETHER: usize = 4_096;

/// How long leaving may take.
const LEAVING: Duration = Duration::from_secs(2);

/// Why a verb ends, with its exit code.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    message: String,
}

impl Failure {
    /// With a code of its own.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// Anything that has no code of its own.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(FAILED, message)
    }

    /// The same with another code.
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// What was typed cannot be done.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::failed(message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Runs what speaks MQTT, on one thread, and tells how it ended.
pub fn run(quiet: bool, program: impl Future<Output = Result<u8, Failure>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(program);
            // A name that is being resolved is not waited for.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Failure::failed(format!("cannot start: {error}"))),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !quiet {
                eprintln!("Error: {failure}");
            }
            ExitCode::from(failure.code)
        }
    }
}

/// A session on a real connection that can be listened to.
pub type ClientLink<'b> = Link<'b, Tap<TcpConnector>, TokioClock>;

/// How the session of a verb differs from that of the others.
pub struct Client<'a> {
    pub broker: &'a Broker,
    pub will: Option<aldis_mqtt::Will<'a>>,
    /// Keep the session for so many seconds; nothing: begin anew each time.
    pub resume: Option<u32>,
    /// Publications that may be under way at once.
    pub in_flight: u16,
}

impl<'a> Client<'a> {
    /// A session that begins anew with each connection.
    pub fn new(broker: &'a Broker) -> Self {
        Self {
            broker,
            will: None,
            resume: None,
            in_flight: Options::new("").in_flight,
        }
    }

    /// With what the flags say about the session.
    pub fn with(self, args: &'a SessionArgs) -> Result<Self, Failure> {
        let expiry = args.session_expiry_interval;
        Ok(Self {
            will: args.will()?,
            resume: match args.disable_clean_session {
                true => Some(expiry.unwrap_or(u32::MAX)),
                false => None,
            },
            ..self
        })
    }

    /// The link, not yet connected.
    pub fn link(
        &self,
        expiry_s: Option<u32>,
        receive: &'a mut [u8],
        outbox: &'a mut [u8],
        slots: &'a mut [Slot],
    ) -> Result<ClientLink<'a>, Failure> {
        let broker = self.broker;
        let options = Options {
            username: broker.username.as_deref(),
            password: broker.password.as_ref().map(String::as_bytes),
            will: self.will,
            versions: broker.versions,
            clean_start: match self.resume {
                Some(_) => CleanStart::Never,
                None => CleanStart::Always,
            },
            session_expiry_s: self.resume.or(expiry_s).unwrap_or(0),
            keep_alive_s: broker.keep_alive_s,
            in_flight: self.in_flight,
            inbound: u16::MAX,
            backoff: Backoff {
                base_ms: 250,
                cap_ms: 5_000,
                ..Backoff::default()
            },
            ..Options::new(&broker.client_id)
        };
        let mut connector = TcpConnector::new(&broker.host, broker.port);
        if let Some(tls) = &broker.tls {
            connector = connector.with_tls(tls.clone());
        }
        let clock = TokioClock::new();
        let buffers = Buffers::new(receive, outbox, slots);
        let session = Session::new(options, buffers, fastrand::u64(..), clock.now())
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Link::new(session, Tap::new(connector, broker.debug), clock))
    }
}

/// Why a connection did not come about, for people.
fn why(link: &mut ClientLink<'_>, cause: Cause, reason: Option<String>) -> String {
    let words = match cause {
        Cause::Network(_) => link.connector().inner().last_failure(),
        _ => None,
    };
    match words.or(reason.as_deref()) {
        Some(words) => format!("{cause} ({words})"),
        None => cause.to_string(),
    }
}

/// What the broker says in words about a refusal.
fn reason_string(properties: Properties<'_>) -> Option<String> {
    properties.iter().find_map(|property| match property {
        Property::ReasonString(words) => Some(words.to_owned()),
        _ => None,
    })
}

/// Waits for the first connection. Unlike those after it, it is tried once: what
/// keeps it from coming about is likely to be a matter of flags.
pub async fn connect(link: &mut ClientLink<'_>, broker: &Broker) -> Result<(), Failure> {
    let version = link.session().version();
    let mut fell_back = false;
    loop {
        let (cause, reason) = match link.next().await {
            Event::Connected { .. } => return Ok(()),
            Event::Disconnected { cause, properties } => (cause, reason_string(properties)),
            _ => continue,
        };
        if link.session().version() != version && !fell_back {
            fell_back = true;
            continue;
        }
        return Err(first_failure(link, broker, cause, reason));
    }
}

fn first_failure(
    link: &mut ClientLink<'_>,
    broker: &Broker,
    cause: Cause,
    reason: Option<String>,
) -> Failure {
    let Broker { host, port, .. } = broker;
    let words = why(link, cause, reason);
    match cause {
        Cause::Refused(reason) => {
            let code = match broker.versions {
                Versions::Only(aldis_mqtt::Version::V5) => reason.0,
                _ => return_code(reason),
            };
            Failure::new(code, words)
        }
        Cause::Network(Network::ConnectionRefused) => Failure::failed(format!(
            "Connection refused: nothing listens at {host} port {port}. \
             Start a broker there, or name another with -h and -p"
        )),
        Cause::Network(Network::Dns) => Failure::failed(format!(
            "{words}. Check the spelling of {host}, or give an IP address with -h"
        )),
        Cause::Network(Network::Tls) => Failure::failed(format!(
            "{words}. The authority that signed the broker's certificate is named with --cafile, \
             and -h must be a name that stands in the certificate"
        )),
        Cause::Network(Network::Closed | Network::Reset) => Failure::failed(format!(
            "{words}. Check that {host} port {port} is a broker's, and whether it wants TLS \
             (--cafile or mqtts://) there"
        )),
        _ => Failure::failed(format!("{words} ({host} port {port})")),
    }
}

/// The return code of MQTT 3.1.1 for a refused connection: the exit code that
/// scripts know from mosquitto's tools.
fn return_code(reason: ReasonCode) -> u8 {
    match reason {
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => 1,
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => 2,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD => 4,
        ReasonCode::NOT_AUTHORIZED | ReasonCode::BANNED => 5,
        _ => 3,
    }
}

/// Tells of a connection that is lost and comes back, once each.
pub struct Contact {
    quiet: bool,
    /// Why there is none at present, as it was told.
    lost: Option<Cause>,
}

impl Contact {
    /// With a connection that is there.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, lost: None }
    }

    /// Tells what an event says about the connection.
    pub fn note(&mut self, event: &Event<'_>) {
        match *event {
            Event::Disconnected { cause, properties } => {
                let before = self.lost.replace(cause);
                if self.quiet || before == Some(cause) {
                    return;
                }
                let words = match reason_string(properties) {
                    Some(reason) => format!("{cause} ({reason})"),
                    None => cause.to_string(),
                };
                match before {
                    None => eprintln!("Connection lost: {words}; connecting again"),
                    Some(_) => eprintln!("Not connected yet: {words}"),
                }
            }
            Event::Connected { .. } if self.lost.take().is_some() && !self.quiet => {
                eprintln!("Connected again");
            }
            _ => {}
        }
    }
}

/// Ends the connection in order, which may not take long. Before that, the
/// broker gets the last packet about the message of `packet_id`.
pub async fn leave(link: &mut ClientLink<'_>, packet_id: Option<u16>) {
    let leaving = async {
        while packet_id.is_some_and(|id| link.connector().owes(id)) && link.session().is_connected()
        {
            progress(link).await;
        }
        let (session, now) = link.parts();
        session.stop(now);
        while !link.session().is_stopped() {
            link.next().await;
        }
    };
    // Who does not take it in time is left without.
    let _ = timeout(LEAVING, leaving).await;
}

/// Carries on until something happened, which is not told, or some bytes were sent.
async fn progress(link: &mut ClientLink<'_>) {
    let sent = link.connector().sent();
    tokio::select! {
        biased;
        _ = link.next() => {}
        () = sent.notified() => {}
    }
}
