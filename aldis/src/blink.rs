//! `aldis blink`: switches a lamp on and off.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use aldis_mqtt::wire::valid_topic;
use aldis_mqtt::{Dropped, Event, Publication, PublishError, QoS, Slot};
use jiff::Zoned;
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::{self, BrokerArgs, Client, ClientLink, Contact, ENVIRONMENT, Failure};
use crate::{duration, signals};

/// Switch a lamp on and off, again and again
///
/// Publishes `on`, waits, publishes `off`, waits, and so on, with a line for each. A lost
/// connection is made again; the lamp then gets the latest state. Ctrl-C, and the end of --for,
/// leave the lamp off.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
#[command(after_help = format!("Examples:\n  \
    aldis blink output\n  \
    aldis blink output -h 192.168.1.107 --on 1s --off 500ms --for 1h\n\n{ENVIRONMENT}"))]
pub struct Args {
    /// Topic that the lamp obeys
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// How long the lamp is on
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    on: Duration,
    /// How long the lamp is off
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    off: Duration,
    /// End after this time (default: at Ctrl-C)
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lasting: Option<Duration>,
    /// QoS: 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, default_value = "1", value_parser = client::qos)]
    qos: QoS,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Room for some changes that wait for the broker, and for the answers to them.
const ROOM: usize = 256 << 10;
/// Changes that were sent and not acknowledged.
const SLOTS: usize = 64;
/// The exit code for what cannot be meant.
const USAGE: u8 = 2;
/// How long the last `off` may take.
const LAST: Duration = Duration::from_secs(5);

/// Blinks until the time is over or somebody ends it.
pub fn run(args: Args) -> ExitCode {
    client::run(args.broker.quiet, blink(&args))
}

async fn blink(args: &Args) -> Result<u8, Failure> {
    if !valid_topic(&args.topic) {
        return Err(Failure::new(
            USAGE,
            format!(
                "'{}' is no topic to publish to: it must not be empty, nor contain '+' or '#'",
                args.topic
            ),
        ));
    }
    let broker = args.broker.broker(None, None)?;
    let client = Client::new(&broker);
    let (mut receive, mut outbox) = (vec![0; ROOM], vec![0; ROOM]);
    let mut slots = vec![Slot::EMPTY; SLOTS];
    let mut link = client.link(None, &mut receive, &mut outbox, &mut slots)?;
    let mut lamp = Lamp {
        args,
        on: false,
        contact: Contact::new(args.broker.quiet),
    };
    let output_closed = link.connector().output_closed();
    tokio::select! {
        biased;
        () = signals::interrupted() => return Ok(0),
        connected = client::connect(&mut link, &broker) => connected?,
    }
    let begin = Instant::now();
    let end = args.lasting.and_then(|lasting| begin.checked_add(lasting));
    let over = async {
        match end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        () = signals::interrupted() => Ok(()),
        () = output_closed.notified() => Ok(()),
        () = over => Ok(()),
        ended = lamp.blink(&mut link) => ended,
    };
    // Asked a second time, it does not wait for the lamp.
    let ended = match ended {
        Ok(()) if lamp.on => tokio::select! {
            biased;
            () = signals::interrupted() => Ok(()),
            last = lamp.leave_off(&mut link) => last,
        },
        ended => ended,
    };
    client::leave(&mut link, None).await;
    ended.map(|()| 0)
}

struct Lamp<'a> {
    args: &'a Args,
    on: bool,
    contact: Contact,
}

impl Lamp<'_> {
    async fn blink(&mut self, link: &mut ClientLink<'_>) -> Result<(), Failure> {
        let mut change = Instant::now();
        loop {
            self.on = !self.on;
            if !self.switch(link)? {
                return Ok(());
            }
            let lasts = if self.on { self.args.on } else { self.args.off };
            // Counted from the change that was due, so that the rhythm is kept.
            let Some(next) = change.checked_add(lasts) else {
                return std::future::pending().await;
            };
            change = next;
            loop {
                tokio::select! {
                    biased;
                    () = sleep_until(change) => break,
                    event = link.next() => self.note(&event)?,
                }
            }
        }
    }

    /// Publishes the state and prints it; says whether anybody still reads.
    fn switch(&mut self, link: &mut ClientLink<'_>) -> Result<bool, Failure> {
        let args = self.args;
        let state = if self.on { "on" } else { "off" };
        let (session, now) = link.parts();
        let publication = Publication::new(&args.topic, state.as_bytes())
            .qos(args.qos)
            .latest();
        match session.publish(&publication, now) {
            Ok(_) => {}
            Err(PublishError::NotConnected | PublishError::Full) if args.broker.quiet => {}
            Err(error @ (PublishError::NotConnected | PublishError::Full)) => {
                eprintln!("Warning: `{state}` was not sent: {error}");
            }
            Err(error) => return Err(Failure::failed(error.to_string())),
        }
        let at = Zoned::now();
        let mut out = io::stdout().lock();
        let written = match args.json {
            true => writeln!(
                out,
                r#"{{"time":"{}","topic":{},"state":"{state}"}}"#,
                at.strftime("%Y-%m-%dT%H:%M:%S.%3f%:z"),
                serde_json::Value::from(args.topic.as_str()),
            ),
            false => writeln!(out, "{} {state}", at.strftime("%H:%M:%S")),
        };
        match written.and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::failed(format!("cannot write: {error}"))),
        }
    }

    /// Switches the lamp off and waits until the broker knows, if it is there.
    async fn leave_off(&mut self, link: &mut ClientLink<'_>) -> Result<(), Failure> {
        self.on = false;
        self.switch(link)?;
        let sent = link.connector().sent();
        let delivered = async {
            while link.session().pending() > 0 || !link.session().is_flushed() {
                tokio::select! {
                    biased;
                    event = link.next() => self.note(&event)?,
                    () = sent.notified() => {}
                }
            }
            Ok(())
        };
        timeout(LAST, delivered).await.unwrap_or_else(|_| {
            Err(Failure::failed(
                "the broker has not acknowledged the last `off`: the lamp may still be on",
            ))
        })
    }

    fn note(&mut self, event: &Event<'_>) -> Result<(), Failure> {
        self.contact.note(event);
        if let Event::Dropped {
            reason: Dropped::Refused(reason),
            ..
        } = *event
        {
            return Err(Failure::failed(format!(
                "the broker refused the publication to '{}': {reason} ({})",
                self.args.topic,
                reason.advice()
            )));
        }
        Ok(())
    }
}
