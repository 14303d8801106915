//! What is said between us and the device until it is over.

use std::time::Duration;

use aldis_mqtt::{Cause, Dropped, Event, Message, Publication, PublicationId, ReasonCode, Token};
use aldis_protocol::message::MessageReport;
use aldis_protocol::{Availability, MessageState, Scratch};
use tokio::time::{Instant, sleep_until};

use super::lines::Lines;
use super::outgoing::{Outgoing, whole_seconds};
use super::{Args, EXPIRED, NO_ANSWER};
use crate::client::{self, Broker, ClientLink, Contact, Failure};

/// How much later than its time the last word about a message may come.
const GRACE: Duration = Duration::from_secs(2);
/// How long after the broker took the message a device that says nothing is told as missing.
const ABSENT: Duration = Duration::from_secs(2);

/// A message on its way, and what is known of it.
pub struct Conversation<'a> {
    args: &'a Args,
    outgoing: &'a Outgoing<'a>,
    lines: Lines,
    contact: Contact,
    began: Instant,
    pub was_connected: bool,
    /// The broker sends us what the device says.
    listening: bool,
    /// The message is to be handed to the session.
    due: bool,
    under_way: Option<PublicationId>,
    /// When the broker first took the message.
    taken: Option<Instant>,
    /// A broker may have lost what the device said, and the device was not heard to come back.
    in_doubt: bool,
    /// The latest state that the device told.
    state: Option<MessageState>,
    status: Option<Availability>,
    /// It was said that the device is not there.
    said_absent: bool,
    /// The last message for which the broker is owed an answer.
    pub last: Option<u16>,
}

impl<'a> Conversation<'a> {
    pub fn new(args: &'a Args, outgoing: &'a Outgoing<'a>) -> Self {
        Self {
            args,
            outgoing,
            lines: Lines::new(args.json),
            // The message survives a lost connection: no need to worry anybody.
            contact: Contact::new(args.broker.quiet || !args.broker.debug),
            began: Instant::now(),
            was_connected: false,
            listening: false,
            due: true,
            under_way: None,
            taken: None,
            in_doubt: false,
            state: None,
            status: None,
            said_absent: false,
            last: None,
        }
    }

    /// Sends the message and waits, until it is over: the exit code, or why it failed.
    pub async fn hold(
        &mut self,
        link: &mut ClientLink<'_>,
        broker: &Broker,
    ) -> Result<u8, Option<Failure>> {
        client::connect(link, broker)
            .await
            .map_err(|failure| failure.with_code(client::FAILED))?;
        self.was_connected = true;
        let expiry = self
            .outgoing
            .expires
            .and_then(|time| self.began.checked_add(time.saturating_add(GRACE)));
        loop {
            // Nothing of what the device says is to be missed.
            let ready = self.listening || self.args.no_wait;
            if self.due && ready && self.under_way.is_none() {
                self.publish(link)?;
            }
            // A device that has the message tells its end itself.
            let over = at(expiry.filter(|_| self.state.is_none()));
            let absent = at(self.absent_from());
            let (token, ended) = tokio::select! {
                biased;
                event = link.next() => {
                    let token = match &event {
                        Event::Message(message) => message.token,
                        _ => None,
                    };
                    (token, self.event(&event))
                }
                () = over => (None, Some(Err(self.expired()))),
                () = absent => {
                    self.say_absent(&format!(
                        "No device {} is known at this broker ('{}' says nothing); waiting for it",
                        self.outgoing.device, self.outgoing.status
                    ));
                    (None, None)
                }
            };
            self.acknowledge(link, token);
            if let Some(ended) = ended {
                return ended.map_err(Some);
            }
        }
    }

    fn acknowledge(&mut self, link: &mut ClientLink<'_>, token: Option<Token>) {
        if let Some(token) = token {
            self.last = Some(token.packet_id().get());
            link.session().acknowledge(token);
        }
    }

    fn publish(&mut self, link: &mut ClientLink<'_>) -> Result<(), Failure> {
        let left = match self.outgoing.expires {
            None => None,
            Some(time) => match time.checked_sub(self.began.elapsed()) {
                Some(left) if !left.is_zero() => whole_seconds(left),
                _ => return Err(self.expired()),
            },
        };
        let mut payload = [0; aldis_protocol::Message::MAX_LEN];
        let len = self
            .outgoing
            .message(left)
            .encode(&mut payload)
            .map_err(|error| Failure::failed(error.to_string()))?;
        let publication = Publication {
            expires_s: left,
            ..Publication::new(&self.outgoing.topic, payload.get(..len).unwrap_or_default())
                .qos(self.args.qos)
        };
        let (session, now) = link.parts();
        let published = session
            .publish(&publication, now)
            .map_err(|error| Failure::failed(format!("the message cannot be sent: {error}")))?;
        self.under_way = Some(published.id);
        self.due = false;
        Ok(())
    }

    /// What an event means; says how it ended, if it did.
    fn event(&mut self, event: &Event<'_>) -> Option<Result<u8, Failure>> {
        self.contact.note(event);
        match event {
            Event::Connected {
                session_present: false,
                ..
            } => {
                // What the device said meanwhile is lost, and perhaps the message as well. The
                // device knows it by its id, and says again what became of it.
                self.listening = false;
                self.due = true;
                self.in_doubt = true;
            }
            Event::Disconnected {
                cause: cause @ Cause::Refused(reason),
                ..
            } if is_final(*reason) => return Some(Err(Failure::failed(cause.to_string()))),
            Event::Subscribed { filter, result } if filter.as_str() == self.outgoing.reports => {
                match result {
                    Ok(_) => self.listening = true,
                    Err(reason) => return Some(Err(self.deaf(*reason))),
                }
            }
            Event::Delivered { id, reason } if self.under_way == Some(*id) => {
                self.under_way = None;
                self.taken.get_or_insert_with(Instant::now);
                return self.taken(*reason);
            }
            Event::Dropped { id, reason } if self.under_way == Some(*id) => {
                self.under_way = None;
                match reason {
                    Dropped::Expired => return Some(Err(self.expired())),
                    // Once more does no harm: the device knows it by its id.
                    Dropped::SessionLost => self.due = true,
                    Dropped::Refused(reason) => {
                        return Some(Err(Failure::failed(format!(
                            "the broker refused the message to '{}': {reason} ({})",
                            self.outgoing.topic,
                            reason.advice()
                        ))));
                    }
                }
            }
            Event::Message(message) => return self.message(message),
            _ => {}
        }
        None
    }

    /// The broker has the message: that may be all that was wanted.
    fn taken(&self, reason: ReasonCode) -> Option<Result<u8, Failure>> {
        let device = self.outgoing.device;
        match reason {
            _ if !self.args.no_wait => None,
            ReasonCode::NO_MATCHING_SUBSCRIBERS => Some(Err(Failure::failed(format!(
                "nobody at this broker takes messages for {device}: the message is lost. Check \
                 the device's name, and that it was connected once"
            )))),
            _ => Some(Ok(0)),
        }
    }

    /// When to say that nothing is known of the device.
    fn absent_from(&self) -> Option<Instant> {
        let unknown = self.status.is_none() && self.state.is_none() && !self.said_absent;
        self.taken
            .filter(|_| unknown)
            .and_then(|taken| taken.checked_add(ABSENT))
    }

    fn message(&mut self, message: &Message<'_>) -> Option<Result<u8, Failure>> {
        let topic = message.topic.as_str();
        // A topic may be two of them: who sends to itself.
        if topic == self.outgoing.status {
            self.status(message);
        }
        if topic == self.outgoing.replies && !message.retain {
            self.reply(message.payload)
        } else if topic == self.outgoing.reports && !message.retain {
            self.report(message.payload)
        } else {
            None
        }
    }

    fn status(&mut self, message: &Message<'_>) {
        let device = self.outgoing.device;
        self.status = Availability::decode(message.payload);
        match self.status {
            Some(Availability::Offline) if self.state.is_none() => {
                self.say_absent(&format!(
                    "{device} is offline; if it was connected within the last hour, the message waits for \
                     it at the broker"
                ));
            }
            Some(Availability::Online) => {
                let was_absent = std::mem::take(&mut self.said_absent);
                if was_absent && !self.args.broker.quiet {
                    eprintln!("{device} is online");
                }
                // It has just connected, and the broker may have had nobody to keep it for.
                if was_absent || !message.retain {
                    self.due |= std::mem::take(&mut self.in_doubt) || self.state.is_none();
                }
            }
            _ => {}
        }
    }

    fn say_absent(&mut self, words: &str) {
        if !std::mem::replace(&mut self.said_absent, true) && !self.args.broker.quiet {
            eprintln!("{words}");
        }
    }

    fn reply(&self, payload: &[u8]) -> Option<Result<u8, Failure>> {
        let mut scratch = Scratch::new();
        let message = aldis_protocol::Message::decode(payload, &mut scratch).ok()?;
        if message.from != Some(self.outgoing.device)
            || message.id == Some(self.outgoing.id.as_str())
        {
            return None;
        }
        let printed = self.lines.reply(self.outgoing.device, message.text);
        printed.err().map(|error| Err(unwritten(&error)))
    }

    fn report(&mut self, payload: &[u8]) -> Option<Result<u8, Failure>> {
        let mut scratch = Scratch::new();
        let report = MessageReport::decode(payload, &mut scratch).ok()?;
        if report.id != Some(self.outgoing.id.as_str()) {
            return None;
        }
        // At QoS 1 a state may come twice, and late.
        if self
            .state
            .is_some_and(|state| rank(report.state) <= rank(state))
        {
            return None;
        }
        self.state = Some(report.state);
        if let Err(error) = self.lines.state(&self.outgoing.id, &report) {
            return Some(Err(unwritten(&error)));
        }
        let device = self.outgoing.device;
        match report.state {
            MessageState::Expired => Some(Err(Failure::new(
                EXPIRED,
                format!("{device} had the message, but nobody read it in its time"),
            ))),
            MessageState::Replaced => Some(Err(Failure::failed(format!(
                "newer messages pushed it out of {device} before anybody read it"
            )))),
            MessageState::Refused => Some(Err(Failure::failed(format!(
                "{device} refused the message{}",
                if report.reason.is_some() {
                    " (see above)"
                } else {
                    ""
                }
            )))),
            state => self.args.wait.is_met_by(state).then_some(Ok(0)),
        }
    }

    fn deaf(&self, reason: ReasonCode) -> Failure {
        Failure::failed(format!(
            "the broker does not let you hear '{}': {reason} ({}). With --no-wait the message is \
             sent without knowing what becomes of it",
            self.outgoing.reports,
            reason.advice()
        ))
    }

    fn expired(&self) -> Failure {
        let device = self.outgoing.device;
        let words = match self.taken {
            Some(_) => format!("the message has expired: {device} has not answered in its time"),
            None => "the message has expired before the broker took it".to_owned(),
        };
        Failure::new(EXPIRED, words)
    }

    /// Nothing more came in time.
    pub fn no_answer(&self) -> Failure {
        let device = self.outgoing.device;
        let missing = self.args.wait.missing();
        let words = match (self.taken, self.state) {
            (None, None) => "the broker has not taken the message".to_owned(),
            (_, Some(_)) => format!("{device} has the message, but {missing}"),
            (Some(_), None) if self.status != Some(Availability::Online) => format!(
                "{device} is not there and has not answered. If it was connected to this broker \
                 within the last hour, the message waits for it"
            ),
            (Some(_), None) => format!("{device} has not answered"),
        };
        let waited = self.args.patience().unwrap_or_default();
        Failure::new(
            NO_ANSWER,
            format!("{words} (waited {})", humantime::format_duration(waited)),
        )
    }
}

/// Waits until then; without a time, for ever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn unwritten(error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write: {error}"))
}

/// How far a message got.
fn rank(state: MessageState) -> u8 {
    match state {
        MessageState::Received => 0,
        MessageState::Shown => 1,
        _ => 2,
    }
}

/// Whether trying again would not help.
fn is_final(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD | ReasonCode::NOT_AUTHORIZED | ReasonCode::BANNED
    )
}
