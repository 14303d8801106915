//! Reason codes (MQTT 5, section 2.4) and what to do about them.

use core::fmt;

/// The one-byte answer of a broker. Below 0x80 it is a success.
///
/// The return codes of MQTT 3.1.1 are translated to the code of MQTT 5 that
/// means the same, so that a program needs to know one set only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReasonCode(pub u8);

macro_rules! reason_codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        impl ReasonCode {
            $(
                #[doc = concat!("0x", stringify!($code), ": ", $text, ".")]
                pub const $name: Self = Self($code);
            )*

            /// The name that the specification gives this code.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    0x00 => "Success",
                    $($code => $text,)*
                    _ => "Unknown reason code",
                }
            }
        }
    };
}

reason_codes! {
    GRANTED_QOS_1 = 0x01, "Granted QoS 1";
    GRANTED_QOS_2 = 0x02, "Granted QoS 2";
    DISCONNECT_WITH_WILL = 0x04, "Disconnect with Will Message";
    NO_MATCHING_SUBSCRIBERS = 0x10, "No matching subscribers";
    NO_SUBSCRIPTION_EXISTED = 0x11, "No subscription existed";
    CONTINUE_AUTHENTICATION = 0x18, "Continue authentication";
    REAUTHENTICATE = 0x19, "Re-authenticate";
    UNSPECIFIED_ERROR = 0x80, "Unspecified error";
    MALFORMED_PACKET = 0x81, "Malformed Packet";
    PROTOCOL_ERROR = 0x82, "Protocol Error";
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "Implementation specific error";
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "Unsupported Protocol Version";
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "Client Identifier not valid";
    BAD_USER_NAME_OR_PASSWORD = 0x86, "Bad User Name or Password";
    NOT_AUTHORIZED = 0x87, "Not authorized";
    SERVER_UNAVAILABLE = 0x88, "Server unavailable";
    SERVER_BUSY = 0x89, "Server busy";
    BANNED = 0x8a, "Banned";
    SERVER_SHUTTING_DOWN = 0x8b, "Server shutting down";
    BAD_AUTHENTICATION_METHOD = 0x8c, "Bad authentication method";
    KEEP_ALIVE_TIMEOUT = 0x8d, "Keep Alive timeout";
    SESSION_TAKEN_OVER = 0x8e, "Session taken over";
    TOPIC_FILTER_INVALID = 0x8f, "Topic Filter invalid";
    TOPIC_NAME_INVALID = 0x90, "Topic Name invalid";
    PACKET_IDENTIFIER_IN_USE = 0x91, "Packet Identifier in use";
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "Packet Identifier not found";
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "Receive Maximum exceeded";
    TOPIC_ALIAS_INVALID = 0x94, "Topic Alias invalid";
    PACKET_TOO_LARGE = 0x95, "Packet too large";
    MESSAGE_RATE_TOO_HIGH = 0x96, "Message rate too high";
    QUOTA_EXCEEDED = 0x97, "Quota exceeded";
    ADMINISTRATIVE_ACTION = 0x98, "Administrative action";
    PAYLOAD_FORMAT_INVALID = 0x99, "Payload format invalid";
    RETAIN_NOT_SUPPORTED = 0x9a, "Retain not supported";
    QOS_NOT_SUPPORTED = 0x9b, "QoS not supported";
    USE_ANOTHER_SERVER = 0x9c, "Use another server";
    SERVER_MOVED = 0x9d, "Server moved";
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9e, "Shared Subscriptions not supported";
    CONNECTION_RATE_EXCEEDED = 0x9f, "Connection rate exceeded";
    MAXIMUM_CONNECT_TIME = 0xa0, "Maximum connect time";
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xa1, "Subscription Identifiers not supported";
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xa2, "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// 0x00: success; also normal disconnection and granted QoS 0.
    pub const SUCCESS: Self = Self(0);

    /// Whether the broker refused.
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The code of MQTT 5 for a CONNACK return code of MQTT 3.1.1 (table 3.1).
    ///
    /// A broker that speaks only MQTT 5 may answer in its own codes; those are
    /// left as they are.
    pub const fn from_connect_return_code(code: u8) -> Self {
        match code {
            1 => Self::UNSUPPORTED_PROTOCOL_VERSION,
            2 => Self::CLIENT_IDENTIFIER_NOT_VALID,
            3 => Self::SERVER_UNAVAILABLE,
            4 => Self::BAD_USER_NAME_OR_PASSWORD,
            5 => Self::NOT_AUTHORIZED,
            6..0x80 => Self::UNSPECIFIED_ERROR,
            other => Self(other),
        }
    }

    /// What the person who runs the client should change, if anything helps.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::UNSUPPORTED_PROTOCOL_VERSION => {
                "the broker does not speak this version of MQTT: choose version 4 (3.1.1) or 5"
            }
            Self::CLIENT_IDENTIFIER_NOT_VALID => {
                "the broker does not accept this client id: choose a shorter one of letters and digits"
            }
            Self::BAD_USER_NAME_OR_PASSWORD => "check the user name and the password",
            Self::NOT_AUTHORIZED => {
                "the broker's access rules forbid this: give a user name and a password, or have them changed"
            }
            Self::BANNED => "the broker has banned this client: ask its administrator",
            Self::BAD_AUTHENTICATION_METHOD | Self::CONTINUE_AUTHENTICATION => {
                "the broker wants enhanced authentication, which is not supported: allow user name and password there"
            }
            Self::SERVER_UNAVAILABLE | Self::SERVER_BUSY | Self::SERVER_SHUTTING_DOWN => {
                "the broker is not ready: it will be tried again"
            }
            Self::SESSION_TAKEN_OVER => {
                "another client uses the same client id: give each client an id of its own"
            }
            Self::USE_ANOTHER_SERVER | Self::SERVER_MOVED => {
                "the broker refers to another address: change the broker's address"
            }
            Self::TOPIC_NAME_INVALID => "the broker does not accept this topic",
            Self::PACKET_TOO_LARGE => {
                "the packet is larger than allowed: send less, or raise the limit"
            }
            Self::QUOTA_EXCEEDED | Self::CONNECTION_RATE_EXCEEDED | Self::MESSAGE_RATE_TOO_HIGH => {
                "a limit of the broker was exceeded: send less often, or raise the limit there"
            }
            Self::RETAIN_NOT_SUPPORTED => "the broker keeps no retained messages",
            Self::QOS_NOT_SUPPORTED => "the broker does not support this QoS: choose a lower one",
            _ => "see the log of the broker",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReasonCode({:#04x} {})", self.0, self.name())
    }
}
