//! Messages of the person at the device to somebody else.

use aldis_protocol::message::{MAX_MESSAGE_ID_LEN, MAX_TEXT_LEN};
use aldis_protocol::topic::MAX_ID_LEN;
use heapless::String;

/// A message to another device, as a board keeps it until the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The order in which these were chosen, over restarts.
    pub number: u32,
    /// What it is called, however often it is sent.
    pub id: String<MAX_MESSAGE_ID_LEN>,
    /// The device that it is for.
    pub to: String<MAX_ID_LEN>,
    /// What it says.
    pub text: String<MAX_TEXT_LEN>,
}
