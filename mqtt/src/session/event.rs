//! What the session tells the application.

use core::fmt;

use crate::wire::{Fault, PacketId, Properties, QoS, ReasonCode, Text, Version};

/// The handle of a publication at QoS 1 or 2, for [`Event::Delivered`] and
/// [`Event::Dropped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationId(pub(crate) u32);

/// What [`Session::publish`](crate::Session::publish) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The handle of the publication.
    pub id: PublicationId,
    /// The older publication whose place it took: that one will not be sent.
    pub superseded: Option<PublicationId>,
}

/// A message from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Topic name.
    pub topic: Text<'a>,
    /// Application message.
    pub payload: &'a [u8],
    /// QoS at which it came.
    pub qos: QoS,
    /// It was kept by the broker, and is not new.
    pub retain: bool,
    /// At QoS 1: it may have come before.
    pub dup: bool,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
    /// At QoS 1 and 2: to be given to
    /// [`Session::acknowledge`](crate::Session::acknowledge) when the message
    /// was handled.
    pub token: Option<Token>,
}

/// Stands for a message that the application has not yet acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub(crate) packet_id: PacketId,
    pub(crate) qos: QoS,
    /// The connection at QoS 1, the session at QoS 2, to which the packet id
    /// belongs.
    pub(crate) epoch: u16,
}

impl Token {
    /// The packet identifier under which the message came on this connection.
    pub const fn packet_id(&self) -> PacketId {
        self.packet_id
    }

    /// How the message came: at QoS 1 the token is of its connection, after which the message
    /// comes again with another one; at QoS 2 it is good until the session ends.
    pub const fn qos(&self) -> QoS {
        self.qos
    }
}

/// Something happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// The broker accepted the connection.
    Connected {
        /// It still had the session: subscriptions and messages under way hold.
        session_present: bool,
        /// The version that is spoken.
        version: Version,
        /// The broker's properties (MQTT 5).
        properties: Properties<'a>,
    },
    /// The connection ended or did not come about. Unless
    /// [`Session::stop`](crate::Session::stop) asked for it, the next attempt
    /// follows by itself.
    Disconnected {
        /// Why.
        cause: Cause,
        /// The properties of the broker's refusal, such as the reason string
        /// or another server's address (MQTT 5).
        properties: Properties<'a>,
    },
    /// A message came.
    Message(Message<'a>),
    /// The broker has taken responsibility for a publication at QoS 1 or 2.
    Delivered {
        /// Which.
        id: PublicationId,
        /// Success, or that nobody has subscribed.
        reason: ReasonCode,
    },
    /// A publication at QoS 1 or 2 will not be delivered.
    Dropped {
        /// Which.
        id: PublicationId,
        /// Why.
        reason: Dropped,
    },
    /// The broker answered a subscription. It does so again after each renewal.
    Subscribed {
        /// The topic filter.
        filter: Text<'a>,
        /// The QoS it granted, or why it refused. A refused subscription is
        /// tried again on the next connection.
        result: Result<QoS, ReasonCode>,
    },
    /// A subscription has ended.
    Unsubscribed {
        /// The topic filter.
        filter: Text<'a>,
    },
    /// A message was larger than the receive buffer. It was acknowledged, so
    /// that the broker does not send it for ever, and is lost.
    Oversized {
        /// The topic name.
        topic: Text<'a>,
        /// Bytes of the whole packet.
        size: usize,
    },
}

/// Why a publication was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It could not be sent in the time it had.
    Expired,
    /// The broker refused it, or does not support what it asks for.
    Refused(ReasonCode),
    /// The broker took a publication at QoS 2 and lost the session, or may have
    /// lost it, before the exchange was complete: it may have passed it on or
    /// not.
    SessionLost,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The driver could not open the connection, or it broke.
    Network(Network),
    /// No CONNACK within the bound.
    ConnectTimeout,
    /// CONNACK refused.
    Refused(ReasonCode),
    /// The broker sent DISCONNECT.
    Disconnected(ReasonCode),
    /// Another client uses the same client id.
    TakenOver,
    /// The broker owes an answer for longer than the bound.
    Silent,
    /// Nothing could be written for longer than the bound.
    Stalled,
    /// The broker broke the rules of the protocol.
    Protocol(Fault),
    /// The application asked for it.
    Stopped,
}

/// What went wrong below MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// There is no network.
    Down,
    /// The name of the broker has no address.
    Dns,
    /// The connection was refused.
    ConnectionRefused,
    /// The broker's machine could not be reached.
    Unreachable,
    /// Opening took too long.
    TimedOut,
    /// The certificate was not accepted, or TLS failed in another way.
    Tls,
    /// The other side closed the connection.
    Closed,
    /// The connection was reset, or failed in another way.
    Reset,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::ConnectTimeout => f.write_str("the broker did not accept the connection in time"),
            // Brokers say so of a wrong password, too.
            Self::Refused(ReasonCode::NOT_AUTHORIZED) => write!(
                f,
                "the broker refused the connection: {} (check the user name and the password, and \
                 whether they may connect)",
                ReasonCode::NOT_AUTHORIZED
            ),
            Self::Refused(reason) => {
                write!(
                    f,
                    "the broker refused the connection: {reason} ({})",
                    reason.advice()
                )
            }
            Self::Disconnected(reason) => {
                write!(
                    f,
                    "the broker ended the connection: {reason} ({})",
                    reason.advice()
                )
            }
            Self::TakenOver => f.write_str(ReasonCode::SESSION_TAKEN_OVER.advice()),
            Self::Silent => f.write_str("the broker does not answer"),
            Self::Stalled => f.write_str("the network takes no more bytes"),
            Self::Protocol(fault) => write!(f, "the broker broke the protocol: {}", fault.reason()),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "there is no network",
            Self::Dns => "the broker's name has no address",
            Self::ConnectionRefused => "nothing listens at the broker's address and port",
            Self::Unreachable => "the broker's machine cannot be reached",
            Self::TimedOut => "the broker's machine does not answer",
            Self::Tls => "TLS failed: check the certificate authority and the host name",
            Self::Closed => "the broker closed the connection",
            Self::Reset => "the connection was reset",
        })
    }
}

/// Why a publication was not accepted. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The outbox has no room now.
    Full,
    /// The outbox can never hold it, or the broker takes no packet so large.
    TooLarge,
    /// The topic is empty, too long, or has a wildcard in it.
    InvalidTopic,
    /// A property that cannot stand in PUBLISH, or that the session sets.
    InvalidProperty,
    /// QoS 0 is for the present connection, and there is none.
    NotConnected,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the outbox is full",
            Self::TooLarge => "the publication is too large",
            Self::InvalidTopic => {
                "a topic must not be empty, nor contain '+', '#' or a null character"
            }
            Self::InvalidProperty => "a property is not allowed in a publication",
            Self::NotConnected => "there is no connection, and QoS 0 is not kept for the next one",
        })
    }
}

impl core::error::Error for PublishError {}

/// Why a subscription was not taken up. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The outbox has no room.
    Full,
    /// Not a topic filter; or a shared subscription that shall leave out what
    /// this client itself published; or an identifier that is 0 or too large.
    InvalidFilter,
    /// There is no such subscription to end.
    NotSubscribed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the outbox is full",
            Self::InvalidFilter => {
                "not a topic filter: '+' stands for one whole level, '#' for all the rest"
            }
            Self::NotSubscribed => "there is no such subscription",
        })
    }
}

impl core::error::Error for SubscribeError {}

/// Why options cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsError {
    /// CONNECT does not fit into the receive buffer.
    ConnectTooLarge,
    /// MQTT 3.1.1 wants a user name with a password.
    PasswordWithoutUsername,
    /// The will's topic is empty, too long, or has a wildcard in it.
    InvalidWill,
    /// A property that cannot stand in CONNECT, that the session sets, or that
    /// asks for enhanced authentication.
    InvalidProperty,
    /// A client id that MQTT cannot carry.
    InvalidClientId,
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectTooLarge => {
                "client id, user name, password and will are too large for the receive buffer"
            }
            Self::PasswordWithoutUsername => "MQTT 3.1.1 wants a user name with a password",
            Self::InvalidWill => {
                "the will's topic must not be empty, nor contain '+', '#' or a null character"
            }
            Self::InvalidProperty => "a property is not allowed in CONNECT",
            Self::InvalidClientId => "the client id must not contain a null character",
        })
    }
}

impl core::error::Error for OptionsError {}
