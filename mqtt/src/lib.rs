//! An MQTT 3.1.1 and 5 client session that does not lose what it was given.
//!
//! Sans-io: a [`Session`] does no input or output, reads no clock and rolls no
//! dice. Bytes and the time go in; bytes, events and the next deadline come out.
//! So the same code runs on a chip and on a PC, and in a test that cuts the
//! connection at every byte. It needs no standard library, no heap and no
//! `unsafe`; its memory is what the caller lends it.
//!
//! The [`link`] room has drivers that bring bytes and time to it: for tokio
//! (feature `tokio`; with TLS, feature `tls`) and for embassy (feature
//! `embassy`). Their pages have complete examples. Below them is the whole of
//! what a driver does.
//!
//! # What it promises
//!
//! 1. A publication at QoS 1 or 2 that [`Session::publish`] has taken ends in
//!    exactly one of [`Event::Delivered`], [`Event::Dropped`] (with the reason)
//!    or [`Published::superseded`]; or the caller takes it back with
//!    [`Session::withdraw`]. A lost connection does not end it, nor does a broker
//!    that forgot the session.
//! 2. QoS 2 is exactly once to the application, QoS 1 at least once, and the order
//!    of a topic is kept.
//! 3. A dead peer is noticed within one and a half keep-alives, whatever the traffic;
//!    sooner where something waits for an answer ([`Timeouts`]).
//! 4. Reconnecting never ends: prompt at first, then capped exponential [`Backoff`]
//!    with full jitter.
//! 5. Subscriptions hold over connections, and every answer to one is told
//!    ([`Event::Subscribed`]).
//! 6. A message at QoS 1 or 2 is acknowledged when the application says so
//!    ([`Session::acknowledge`]), not before.
//! 7. What the broker limits is kept: receive maximum, packet size, topic aliases,
//!    keep-alive, QoS, retain. What it does not support is reported, not sent.
//! 8. No input makes it panic, allocate or spin, and nothing that was written on
//!    one connection leaks into the next.
//! 9. Every future of a driver can be dropped at any await, and nothing is lost.
//!
//! The outbox is memory: what waits in it does not outlive the program.
//!
//! # By hand
//!
//! What a driver does, here with a broker in memory in place of a network:
//!
//! ```
//! use aldis_mqtt::{
//!     Buffers, Event, Instant, Options, Publication, QoS, Session, Slot, SubscribeOptions,
//!     Transport,
//! };
//! use aldis_world::broker::{Broker, Config};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut receive = [0; 512];
//! let mut outbox = [0; 512];
//! let mut slots = [Slot::EMPTY; 8];
//! let buffers = Buffers::new(&mut receive, &mut outbox, &mut slots);
//! let mut now = Instant::from_millis(0);
//! // The seed makes this device wait differently from others after an outage.
//! let mut session = Session::new(Options::new("lamp-1"), buffers, 42, now)?;
//!
//! // Both are taken before there is any connection.
//! session.subscribe("output", SubscribeOptions::default(), None)?;
//! let on = Publication::new("output", b"on").qos(QoS::AtLeastOnce);
//! let published = session.publish(&on, now)?;
//!
//! let mut broker = Broker::new(Config::default());
//! let mut connection = None;
//! let (mut delivered, mut heard) = (false, false);
//! while !(delivered && heard) {
//!     // What has happened?
//!     let mut token = None;
//!     while let Some(event) = session.poll(now) {
//!         match event {
//!             Event::Delivered { id, .. } => delivered |= id == published.id,
//!             Event::Message(message) => {
//!                 heard |= message.payload == b"on";
//!                 token = message.token;
//!             }
//!             Event::Disconnected { cause, .. } => println!("{cause}"),
//!             _ => {}
//!         }
//!         if let Some(token) = token.take() {
//!             session.acknowledge(token);
//!         }
//!     }
//!     // Which connection does it want? Each has a number of its own.
//!     match session.transport() {
//!         Transport::Closed => connection = None,
//!         Transport::Open(number) if connection.map(|(n, _)| n) != Some(number) => {
//!             connection = Some((number, broker.open(now.as_millis())));
//!             session.opened(now); // or session.failed(why, now)
//!         }
//!         Transport::Open(_) => {}
//!     }
//!     // Bytes out, bytes in. `transmit` is called even when the network takes
//!     // nothing: the bound on writing begins there.
//!     if let Some((_, connection)) = connection {
//!         while let Some(bytes) = session.transmit(now) {
//!             broker.receive(connection, bytes, now.as_millis());
//!             let len = bytes.len(); // or fewer, if the network took fewer
//!             session.transmitted(len, now);
//!         }
//!         let answer = broker.output(connection);
//!         let space = session.receive_space();
//!         let len = answer.len().min(space.len());
//!         space[..len].copy_from_slice(&answer[..len]);
//!         session.received(len);
//!     }
//!     // Time goes by; a driver would sleep until `session.deadline()` or until
//!     // the network is ready, whichever is first.
//!     now = now.after(1);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Memory
//!
//! [`Buffers`] is all of it, beside the session itself (less than a kilobyte):
//!
//! - `receive` holds the largest packet that can be received, and CONNECT with its
//!   will. Under MQTT 5 the broker is told its size and sends nothing larger; under
//!   3.1.1 a larger message is acknowledged, skipped and told as
//!   [`Event::Oversized`].
//! - `outbox` holds publications until they are acknowledged (at QoS 0: sent), and
//!   subscriptions for as long as they last. A publication takes its topic, payload
//!   and properties and 10 bytes more, a subscription its filter and 11 bytes more.
//! - `slots` has one [`Slot`] of 32 bytes for each of them. Where messages are small,
//!   the number of slots is the limit.
//! - The two lists of aliases may stay empty.
//!
//! When there is no room, [`Session::publish`] says [`PublishError::Full`] and
//! changes nothing. What then? Drop the new one; or make room with
//! [`Session::oldest_unsent`] and [`Session::withdraw`]; or have marked the
//! publications so that they make room by themselves: [`Publication::latest`] for
//! states, where only the newest counts, and [`Publication::expires`] for what is
//! worthless later.
//!
//! # Properties, requests, limits
//!
//! Properties of MQTT 5 are written with [`Publication::with`],
//! [`Options::properties`] and [`Will`], and read from [`Message`] and
//! [`Event::Connected`]. The session itself sets Message Expiry Interval
//! ([`Publication::expires`]), Topic Alias, Session Expiry Interval, Receive
//! Maximum and Maximum Packet Size. Over MQTT 3.1.1 properties are left out.
//!
//! ```
//! # use aldis_mqtt::{Publication, QoS, wire::Property};
//! let question = [
//!     Property::ResponseTopic("answers/desk"),
//!     Property::CorrelationData(b"17"),
//!     Property::UserProperty("room", "kitchen"),
//! ];
//! let request = Publication::new("questions/kitchen", b"how warm is it?")
//!     .qos(QoS::AtLeastOnce)
//!     .expires(30)
//!     .with(&question);
//! # assert_eq!(request.properties.response_topic(), Some("answers/desk"));
//! ```
//!
//! Enhanced authentication (AUTH) is not spoken: a broker that begins it is told
//! that it is a protocol error.
//!
//! # When something goes wrong
//!
//! Errors come in three kinds. What the caller asked for and cannot be is an error
//! of the call, which then changed nothing ([`OptionsError`], [`PublishError`],
//! [`SubscribeError`]). What becomes of a publication or subscription is an event.
//! Whatever ends a connection is [`Event::Disconnected`] with a [`Cause`], whose
//! text says what to do; the next attempt follows by itself.
//!
//! After [`CleanStart::First`] (the default) a new program starts a new session,
//! since it remembers nothing of the old one: what the broker kept for it is
//! discarded. Who wants it chooses [`CleanStart::Never`].
#![cfg_attr(not(any(test, feature = "tokio")), no_std)]
#![forbid(unsafe_code)]

pub mod link;
mod outbox;
pub mod session;
mod shift;
mod time;
pub mod wire;

pub use outbox::Slot;
pub use session::{
    Backoff, Buffers, Cause, CleanStart, Dropped, Event, Message, Network, Options, OptionsError,
    Publication, PublicationId, PublishError, Published, Session, SubscribeError, Timeouts, Token,
    Transport, Versions,
};
pub use time::Instant;
pub use wire::{QoS, ReasonCode, RetainHandling, SubscribeOptions, Text, Version, Will};
