//! What is counted for `diag`.

use aldis_mqtt::{Cause, Network};
use aldis_protocol::{Dropped, Reconnects};

use crate::{GivenUp, Vitals};

/// How often contact was lost, and what was given up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    dns: u32,
    tcp: u32,
    refused: u32,
    silent: u32,
    taken_over: u32,
    broker: u32,
    superseded: u32,
    full: u32,
    expired: u32,
    too_large: u32,
}

impl Counters {
    /// A reading was given up for this reason.
    pub fn gave_up(&mut self, why: GivenUp) {
        let counter = match why {
            GivenUp::Expired => &mut self.expired,
            GivenUp::Superseded => &mut self.superseded,
            GivenUp::Full => &mut self.full,
        };
        *counter = counter.saturating_add(1);
    }

    /// Something came that is larger than the device can receive.
    pub fn too_large(&mut self) {
        self.too_large = self.too_large.saturating_add(1);
    }

    pub fn lost(&mut self, cause: Cause) {
        let counter = match cause {
            Cause::Network(Network::Dns) => &mut self.dns,
            // What a board knows of its network it counts itself.
            Cause::Network(Network::Down) | Cause::Stopped => return,
            Cause::Network(_) => &mut self.tcp,
            Cause::Refused(_) => &mut self.refused,
            Cause::ConnectTimeout | Cause::Silent | Cause::Stalled => &mut self.silent,
            Cause::TakenOver => &mut self.taken_over,
            Cause::Disconnected(_) | Cause::Protocol(_) => &mut self.broker,
        };
        *counter = counter.saturating_add(1);
    }

    pub fn reconnects(&self, vitals: &Vitals) -> Reconnects {
        Reconnects {
            wifi: vitals.wifi_losses,
            dhcp: vitals.dhcp_losses,
            dns: Some(self.dns),
            tcp: Some(self.tcp),
            refused: Some(self.refused),
            silent: Some(self.silent),
            taken_over: Some(self.taken_over),
            broker: Some(self.broker),
        }
    }

    pub fn dropped(&self) -> Dropped {
        Dropped {
            expired: Some(self.expired),
            superseded: Some(self.superseded),
            full: Some(self.full),
            too_large: Some(self.too_large).filter(|count| *count > 0),
        }
    }
}
