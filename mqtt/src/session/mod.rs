//! The state machine: takes bytes and the time, gives bytes, events and the
//! next deadline.
//!
//! One invariant holds at every step: a publication at QoS 1 or 2 that was
//! accepted is in the outbox until exactly one of [`Event::Delivered`],
//! [`Event::Dropped`] or [`Published::superseded`] has told its end, and no
//! event about the connection changes that.

mod alias;
mod connection;
mod event;
mod inbound;
mod options;
mod receive;
mod timers;
mod transmit;

pub use event::{
    Cause, Dropped, Event, Message, Network, OptionsError, PublicationId, PublishError, Published,
    SubscribeError, Token,
};
pub use options::{Backoff, Buffers, CleanStart, Options, Publication, Timeouts, Versions};

use alias::Aliases;
use connection::{Limits, State};
use inbound::Inbound;
use receive::Pending;
use timers::{Timer, Timers};
use transmit::{Ping, Reply, Transmit};

use crate::Instant;
use crate::outbox::{Kind, Outbox, Slot, State as EntryState};
use crate::wire::{
    QoS, ReasonCode, SubscribeOptions, Text, Value, Version, Writer, id, valid_filter, valid_topic,
    varint_len, write_property,
};

/// What fits into a variable byte integer (MQTT 5, 1.5.5).
const MAX_SUBSCRIPTION_IDENTIFIER: u32 = 268_435_455;

/// What the driver is to do with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Have none: close it if there is one.
    Closed,
    /// Have the connection of this number: open it, after closing any other.
    Open(u16),
}

/// A client's session with a broker.
///
/// It does no input or output and knows no clock. A driver (see
/// [`link`](crate::link)) opens the connection that [`Session::transport`] asks
/// for, carries bytes between it and [`Session::receive_space`] and
/// [`Session::transmit`], and comes back when [`Session::deadline`] has passed.
/// The application calls [`Session::poll`] for what happened.
///
/// What each step looks at comes first (`repr`): a chip's short instructions do
/// not reach far.
#[derive(Debug)]
#[repr(C)]
pub struct Session<'b> {
    outbox: Outbox<'b>,
    /// Received bytes that were not looked at: `start..end`.
    receive: &'b mut [u8],
    start: usize,
    end: usize,
    /// Bytes of an oversized packet that are still to come.
    skip: usize,
    /// When a packet was last sent, and when the last answer to one came.
    sent_at: Instant,
    proof_at: Instant,
    transmit: Transmit,
    /// What happened last; at first, that there is no connection.
    pending: Pending,
    limits: Limits,
    timers: Timers,
    state: State,
    version: Version,
    ping: Ping,
    /// There may be something to send: so after everything that could have
    /// changed that, until it was found that there is nothing.
    due: bool,
    /// That was the end of the connection, and is to be reported.
    lost: bool,
    /// Some entries of the outbox are to be reported.
    reports: bool,
    /// Some PUBRELs are to be sent.
    releases: bool,
    /// The application must acknowledge something before more can be taken.
    blocked: bool,
    /// A broker has accepted a connection of this session before.
    established: bool,
    /// Since when packets that count as sent wait to be written.
    held: Instant,
    reply: Option<Reply>,
    next_id: u32,
    random: u32,
    /// Counts connections, so that what belongs to one is not taken for another's.
    connection: u16,
    /// Counts sessions at the broker, likewise.
    epoch: u16,
    /// An attempt ended without CONNACK: the broker may have begun a new session
    /// there, and would call it present on the next connection.
    unsure: bool,
    /// MQTT 3.1.1: a session of an earlier life is to be thrown away first.
    purge: bool,
    /// The application wants a connection.
    wanted: bool,
    /// Waits since the outage began that were by chance alone.
    attempts: u8,
    /// Attempts in a row that nobody answered.
    unanswered: u8,
    /// Connections in a row that the broker accepted and soon closed.
    brief: u8,
    /// When the broker accepted the connection, by the low half of the clock.
    connected_at: u32,
    /// When the outage began, by the low half of the clock.
    outage: u32,
    /// There is none: the last connection was stable.
    steady: bool,
    /// The longest round trip of late, and how long an answer is waited for.
    round_trip_ms: u32,
    patience_ms: u32,
    /// After how long without an answer the broker is asked for one.
    quiet_ms: u32,
    inbound_aliases: Aliases<'b>,
    outbound_aliases: Aliases<'b>,
    options: Options<'b>,
    inbound: Inbound,
}

impl<'b> Session<'b> {
    /// The most messages at QoS 1 and 2 that can be under way to us, unless the
    /// feature `many-inbound` makes room for more.
    pub const RECEIVE_MAXIMUM: u16 = Inbound::USUAL as u16;

    /// The most publications that the outbox takes, however large it is: a
    /// quarter of the packet ids, so that one is always soon found.
    pub const MAXIMUM_PENDING: u32 = 16_384;

    /// A session that wants to connect at once. `seed` makes its jitter differ
    /// from that of other devices.
    pub fn new(
        options: Options<'b>,
        buffers: Buffers<'b>,
        seed: u64,
        now: Instant,
    ) -> Result<Self, OptionsError> {
        let version = match options.versions {
            Versions::Any => Version::V5,
            Versions::Only(version) => version,
        };
        #[cfg(not(feature = "many-inbound"))]
        let inbound = Inbound::new();
        #[cfg(feature = "many-inbound")]
        let inbound = Inbound::with_room(options.inbound);
        let mut session = Self {
            options,
            outbox: Outbox::new(buffers.outbox, buffers.slots),
            inbound,
            inbound_aliases: Aliases::new(buffers.inbound_aliases),
            outbound_aliases: Aliases::new(buffers.outbound_aliases),
            timers: Timers::new(now),
            limits: Limits::default(),
            transmit: Transmit::default(),
            receive: buffers.receive,
            start: 0,
            end: 0,
            skip: 0,
            blocked: false,
            state: State::Waiting,
            version,
            connection: 0,
            epoch: 0,
            established: false,
            unsure: false,
            purge: false,
            wanted: true,
            attempts: 0,
            unanswered: 0,
            brief: 0,
            outage: 0,
            steady: true,
            connected_at: 0,
            round_trip_ms: 0,
            patience_ms: options.timeouts.answer_ms,
            quiet_ms: u32::MAX,
            random: (seed ^ seed >> 32) as u32,
            sent_at: now,
            proof_at: now,
            ping: Ping::Idle,
            reply: None,
            held: Instant::NEVER,
            due: false,
            pending: Pending::Disconnected {
                cause: Cause::Stopped,
                properties: (0, 0),
            },
            lost: false,
            reports: false,
            releases: false,
            next_id: 0,
        };
        session.check_options()?;
        if options.clean_start == CleanStart::Never
            && let Some(first) = crate::wire::PacketId::new(session.random as u16)
        {
            // At QoS 2 the broker may wait for the end of what an earlier program sent
            // under the first ones, and would take a new publication for it.
            session.outbox.begin_at(first);
        }
        session.timers.arm(Timer::Reconnect, now);
        Ok(session)
    }

    /// Whether the broker has accepted the connection.
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// The version that is spoken, or will be tried next.
    pub fn version(&self) -> Version {
        self.version
    }

    /// When the broker gave its last answer to something that this client sent.
    pub fn answered_at(&self) -> Instant {
        self.proof_at
    }

    /// How long an answer is waited for at present, in milliseconds.
    pub fn patience_ms(&self) -> u32 {
        self.patience_ms
    }

    /// Whether an answer is overdue. What is published meanwhile waits until one
    /// publication is answered; who wants to say how old it is waits with it.
    pub fn is_overdue(&self) -> bool {
        self.limits.in_flight < self.limits.allowed
    }

    /// Lets the broker be asked for an answer after so many milliseconds without
    /// one, where that is sooner than the keep-alive: a router on the way may
    /// forget connections that are quiet for longer. At most once a second.
    pub fn ask_within(&mut self, quiet_ms: u32) {
        // Asked more often, a broker would have nothing else to do.
        self.quiet_ms = quiet_ms.max(1_000);
        if self.timers.is_armed(Timer::Ping) {
            self.arm_ping(self.sent_at.min(self.proof_at));
        }
    }

    /// How many publications are in the outbox: not sent, or not acknowledged.
    pub fn pending(&self) -> usize {
        self.outbox.publications() as usize
    }

    /// Whether everything that could be sent was sent.
    pub fn is_flushed(&self) -> bool {
        let release = |slot: &Slot| slot.state == EntryState::Release;
        self.transmit.is_idle()
            && !self.timers.is_armed(Timer::Write)
            && self.reply.is_none()
            && !self.inbound.owes()
            && self.outbox.find(0, &release).is_none()
            && self.outbox.entry(self.outbox.cursor()).is_none()
    }

    /// When something is due: [`Session::poll`] must be called then.
    pub fn deadline(&self) -> Instant {
        match self.reports {
            // Something is to be told.
            true => self.timers.now(),
            false => self.timers.next(),
        }
    }

    /// Takes a publication. At QoS 1 and 2 it will be sent until the broker has
    /// it, over as many connections as that takes.
    pub fn publish(
        &mut self,
        publication: &Publication<'_>,
        now: Instant,
    ) -> Result<Published, PublishError> {
        let Publication {
            topic,
            payload,
            qos,
            retain,
            properties,
            expires_s,
            latest,
        } = *publication;
        if !valid_topic(topic) {
            return Err(PublishError::InvalidTopic);
        }
        if !properties.is_empty() && !properties.allowed_in(crate::wire::kind::PUBLISH) {
            return Err(PublishError::InvalidProperty);
        }
        if qos == QoS::AtMostOnce && !self.is_connected() {
            return Err(PublishError::NotConnected);
        }
        let expiry = match expires_s {
            Some(_) => 5,
            None => 0,
        };
        let id_len = if qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties_len = properties.size() + expiry;
        let len_of_len = varint_len(u32::try_from(properties_len).unwrap_or(u32::MAX));
        let len = 2 + topic.len() + id_len + len_of_len + properties_len + payload.len();
        if !self.outbox.could_hold(len) || len >= self.limits.maximum_packet_size as usize {
            return Err(PublishError::TooLarge);
        }
        if self.outbox.publications() >= Self::MAXIMUM_PENDING {
            return Err(PublishError::Full);
        }
        let superseded = if latest {
            self.outbox.superseded(topic)
        } else {
            None
        };
        if superseded.is_some_and(|at| self.outbox.room_without(at) < len) {
            return Err(PublishError::Full);
        }
        let mut entry = Slot::new(Kind::Publication(qos), self.next_id);
        entry.retain = retain;
        entry.latest = latest;
        if let Some(seconds) = expires_s {
            let ms = now.as_millis().saturating_add(u64::from(seconds) * 1_000);
            entry.expires = Instant::from_millis(ms);
        }
        let mut replaced = None;
        if let Some(at) = superseded {
            replaced = self.outbox.entry(at).map(|old| PublicationId(old.id));
            self.outbox.remove(at);
        }
        if qos != QoS::AtMostOnce {
            entry.packet_id = Some(self.outbox.packet_id());
        }
        let Some(body) = self.outbox.append(&entry, len) else {
            return Err(PublishError::Full);
        };
        let mut w = Writer::new(body);
        // The length was counted above: there is room.
        let _ = (|| {
            w.string(topic)?;
            if let Some(id) = entry.packet_id {
                w.u16(id.get())?;
            }
            w.varint(properties_len as u32)?;
            if let Some(seconds) = expires_s {
                let seconds = Value::Number(seconds);
                write_property(&mut w, id::MESSAGE_EXPIRY_INTERVAL, seconds)?;
            }
            if !properties.is_empty() {
                properties.write_content(&mut w)?;
            }
            w.bytes(payload)
        })();
        if entry.expires < self.timers.deadline(Timer::Expire) {
            self.timers.arm(Timer::Expire, entry.expires);
        }
        self.next_id = self.next_id.wrapping_add(1);
        self.due = true;
        Ok(Published {
            id: PublicationId(entry.id),
            superseded: replaced,
        })
    }

    /// The oldest publication that was never sent, to make room by
    /// [`Session::withdraw`].
    pub fn oldest_unsent(&self) -> Option<(PublicationId, Text<'_>)> {
        let at = self.outbox.unsent(0, &|_| true)?;
        let id = self.outbox.entry(at)?.id;
        Some((PublicationId(id), self.outbox.name(at)))
    }

    /// Takes a publication back: one that was never sent or, while there is no
    /// connection, one at QoS 1 that was not acknowledged. Says whether it did.
    ///
    /// So a program can send what it knows better by then, such as the age of a
    /// reading, on the next connection. At QoS 2 the broker may know the packet
    /// id, and the exchange has to be brought to its end.
    pub fn withdraw(&mut self, id: PublicationId) -> bool {
        let connected = self.is_connected();
        let found = self.outbox.find(0, &|entry| {
            entry.id == id.0
                && match entry.kind {
                    Kind::Publication(QoS::AtLeastOnce) if !connected => {
                        matches!(entry.state, EntryState::Queued | EntryState::Sent)
                    }
                    Kind::Publication(_) => entry.state == EntryState::Queued && !entry.dup,
                    _ => false,
                }
        });
        match found {
            Some(at) if !self.outbox.is_locked(at) => {
                self.outbox.remove(at);
                // What waited behind it for the send quota may need none.
                self.due = true;
                true
            }
            _ => false,
        }
    }

    /// Takes a subscription that is to hold over all connections. Subscribing
    /// to the same filter again replaces the options.
    ///
    /// `identifier` comes back with each message (MQTT 5).
    pub fn subscribe(
        &mut self,
        filter: &str,
        options: SubscribeOptions,
        identifier: Option<u32>,
    ) -> Result<(), SubscribeError> {
        if !valid_filter(filter)
            || !options.allowed_for(filter)
            || identifier.is_some_and(|id| id == 0 || id > MAX_SUBSCRIPTION_IDENTIFIER)
        {
            return Err(SubscribeError::InvalidFilter);
        }
        self.append_filter(Kind::Subscription, filter, identifier, Some(options))
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, filter: &str) -> Result<(), SubscribeError> {
        let held = self.outbox.filter(filter);
        let held = held.and_then(|at| self.outbox.entry(at));
        if held.is_none_or(|entry| entry.kind != Kind::Subscription) {
            return Err(SubscribeError::NotSubscribed);
        }
        self.append_filter(Kind::Unsubscription, filter, None, None)
    }

    /// Appends a subscription or its end, in place of what there was about the
    /// same filter.
    fn append_filter(
        &mut self,
        kind: Kind,
        filter: &str,
        identifier: Option<u32>,
        options: Option<SubscribeOptions>,
    ) -> Result<(), SubscribeError> {
        let old = self.outbox.filter(filter);
        let options = options.map(|options| options.byte(Version::V5));
        let mut entry = Slot::new(kind, u32::from(options.unwrap_or(0)));
        entry.packet_id = Some(self.outbox.packet_id());
        let size = identifier.map_or(0, |number| 1 + varint_len(number));
        let len = 2 + 1 + size + 2 + filter.len() + usize::from(options.is_some());
        let Some(body) = self.outbox.append(&entry, len) else {
            return Err(SubscribeError::Full);
        };
        let mut w = Writer::new(body);
        // The length was counted above: there is room.
        let _ = (|| {
            w.u16(entry.packet_id.map_or(0, crate::wire::PacketId::get))?;
            // The properties, at most five bytes.
            w.byte(size as u8)?;
            if let Some(number) = identifier {
                let number = Value::Number(number);
                write_property(&mut w, id::SUBSCRIPTION_IDENTIFIER, number)?;
            }
            w.string(filter)?;
            options.map_or(Ok(()), |options| w.byte(options))
        })();
        // Appending may have moved it.
        if let Some(at) = old.and_then(|_| self.outbox.filter(filter)) {
            self.outbox.remove(at);
        }
        self.due = true;
        Ok(())
    }

    /// Tells that a message was handled. Only now the broker is told.
    pub fn acknowledge(&mut self, token: Token) {
        self.answer(token, ReasonCode::SUCCESS);
    }

    /// Tells that a message could not be handled and shall not come again.
    /// MQTT 3.1.1 has no word for that and says that it was.
    pub fn refuse(&mut self, token: Token, reason: ReasonCode) {
        self.answer(token, reason);
    }

    /// Whether a message, and all that came behind it, waits until the application
    /// has acknowledged another one. Only a broker that ignores the receive maximum
    /// brings that about.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Leaves the message that waits, and those behind it, to be sent again on another
    /// connection, which is asked for when what came before them is acknowledged.
    ///
    /// For an application that does not acknowledge before something else has come
    /// through, which may be behind them: the end of a publication, for instance.
    pub fn leave(&mut self) {
        if self.blocked {
            self.inbound.leave();
            self.blocked = false;
            self.due = true;
        }
    }

    fn answer(&mut self, token: Token, reason: ReasonCode) {
        let epoch = match token.qos {
            QoS::ExactlyOnce => self.epoch,
            _ => self.connection,
        };
        if token.epoch == epoch {
            let reason = match self.version {
                Version::V4 => ReasonCode::SUCCESS,
                Version::V5 => reason,
            };
            self.inbound.handled(token.packet_id, token.qos, reason);
            self.blocked = false;
            self.due = true;
        }
    }

    /// What happened next, if anything has. To be called until it gives
    /// nothing, after bytes were received, after bytes were transmitted, and
    /// when the [`Session::deadline`] has passed.
    #[inline]
    pub fn poll(&mut self, now: Instant) -> Option<Event<'_>> {
        self.step(now, true).then(|| self.event())
    }

    /// As [`Session::poll`], with the event still to be fetched: says whether
    /// there is one. Unless `all` that has come was received, what is due has to
    /// wait: an answer among the rest counts.
    #[inline]
    pub(crate) fn step(&mut self, now: Instant, all: bool) -> bool {
        self.timers.set_now(now);
        loop {
            if core::mem::take(&mut self.lost) {
                return true;
            }
            if self.reports {
                if self.report() {
                    return true;
                }
                self.reports = false;
            }
            match self.receive_packet() {
                Progress::Event => return true,
                Progress::More => continue,
                Progress::Nothing => {}
            }
            if !all || !self.timers.is_due() {
                return false;
            }
            // What has come was looked at first: an answer in it counts.
            self.on_deadline();
            self.timers.settle();
        }
    }
}

/// What a step of receiving led to.
#[derive(Clone, Copy, Debug)]
enum Progress {
    Event,
    More,
    Nothing,
}
