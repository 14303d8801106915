//! Joining the network, the address, the broker's name.

use crate::fault::FaultKind;
use crate::log::What;

use super::home::Radio;
use super::{Ev, World};

/// How long the access point is missed until the radio says so.
pub(super) const BEACON_MS: u64 = 6_000;

impl World {
    /// Shows the device what it can know of its radio.
    pub(super) fn show_link(&mut self, index: usize) {
        let node = &self.nodes[index];
        let side = &mut *node.env.side.borrow_mut();
        side.link = node.wifi.carries();
        side.radio.joined = node.wifi.radio == Radio::Joined;
        side.radio.blocked = node.wifi.stuck && side.radio.joined;
        side.radio.unresponsive =
            node.wifi.mute && matches!(node.wifi.radio, Radio::Paused | Radio::Joining);
    }

    /// The radio has tried to join, or has waited.
    pub(super) fn radio(&mut self, index: usize, epoch: u32) -> bool {
        let node = &mut self.nodes[index];
        if node.wifi.epoch != epoch {
            return false;
        }
        let radio = node.wifi.radio;
        match radio {
            Radio::Joining if node.wifi.joins(self.now) => {
                let wait = node.rng.between(200, 1_200);
                node.dhcp_epoch += 1;
                let epoch = node.dhcp_epoch;
                self.queue.push(self.now + wait, Ev::Dhcp(index, epoch));
                self.say(index, What::Joined);
            }
            Radio::Joining => {
                let wait = node.wifi.pause(self.now, &mut node.rng);
                let epoch = node.wifi.epoch;
                self.queue.push(self.now + wait, Ev::Radio(index, epoch));
            }
            Radio::Paused | Radio::Off => {
                let wait = node.wifi.join(&mut node.rng);
                let epoch = node.wifi.epoch;
                self.queue.push(self.now + wait, Ev::Radio(index, epoch));
            }
            Radio::Joined => return false,
        }
        self.show_link(index);
        true
    }

    /// The network is lost, unless the radio has done something else since.
    pub(super) fn beacon(&mut self, index: usize, epoch: u32) -> bool {
        let node = &self.nodes[index];
        if node.wifi.epoch != epoch || node.wifi.radio != Radio::Joined {
            return false;
        }
        self.leave_network(index, 0);
        true
    }

    /// The radio is not joined any more, and joins again; after so long, or as it likes.
    pub(super) fn leave_network(&mut self, index: usize, after: u64) {
        let node = &mut self.nodes[index];
        if node.life.is_none() {
            return;
        }
        let joined = node.wifi.radio == Radio::Joined;
        let wait = match after {
            0 => node.wifi.pause(self.now, &mut node.rng),
            after => {
                node.wifi.radio = Radio::Paused;
                node.wifi.epoch += 1;
                after
            }
        };
        let epoch = node.wifi.epoch;
        self.queue.push(self.now + wait, Ev::Radio(index, epoch));
        node.dhcp_epoch += 1;
        {
            let side = &mut *node.env.side.borrow_mut();
            if joined {
                let losses = &mut side.vitals.wifi_losses;
                *losses = losses.map(|count| count.saturating_add(1));
                side.witness.say(What::Left);
            }
            side.address = None;
        }
        self.show_link(index);
    }

    /// DHCP is asked, or answers.
    pub(super) fn dhcp(&mut self, index: usize, epoch: u32) -> bool {
        let node = &mut self.nodes[index];
        if node.dhcp_epoch != epoch || node.wifi.radio != Radio::Joined {
            return false;
        }
        let again = match () {
            () if !node.wifi.carries() => Some(2_000),
            () if node.active.has(FaultKind::DhcpAway) => Some(4_000),
            () if node.active.has(FaultKind::DhcpSlow) && node.rng.percent(85) => Some(8_000),
            () => None,
        };
        if let Some(wait) = again {
            self.queue.push(self.now + wait, Ev::Dhcp(index, epoch));
            return true;
        }
        self.give_address(index);
        true
    }

    pub(super) fn give_address(&mut self, index: usize) {
        let lease = self.nodes[index].lease;
        self.nodes[index].env.side.borrow_mut().address = Some(lease);
        self.say(index, What::Address(lease));
        self.poke(index);
    }

    /// The name server is asked, or answers.
    pub(super) fn name(&mut self, index: usize) -> bool {
        let host = self.host.address;
        let node = &mut self.nodes[index];
        if !node.names.asked || node.life.is_none() {
            return false;
        }
        let away = node.active.has(FaultKind::DnsAway) || !node.wifi.carries();
        let address = node.env.side.borrow().address;
        if away || address.is_none() {
            self.queue.push(self.now + 1_000, Ev::Name(index));
            return true;
        }
        node.names.asked = false;
        if node.active.has(FaultKind::DnsFails) {
            if self.is_dialling(index) {
                self.fail_dialling(index, aldis_mqtt::Network::Dns);
            }
            return true;
        }
        let answer = match node.active.has(FaultKind::DnsStale) {
            true => host.wrapping_sub(1),
            false => host,
        };
        node.names.answer = Some(answer);
        if self.is_dialling(index) {
            self.named(index);
        }
        true
    }
}
