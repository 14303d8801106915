//! A clean stop.

use aldis_mqtt::{Instant, Network, Publication, PublicationId, QoS, Session};
use aldis_protocol::topic::MAX_LEN;
use aldis_protocol::{Availability, Topic};

use super::Device;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    No,
    /// `offline` is to be published, until this moment.
    Wanted(Instant),
    /// It was; its delivery is awaited.
    Published(PublicationId, Instant),
    /// The broker has it.
    Told(Instant),
    /// The session is to be stopped by this moment.
    Closing(Instant),
    Done,
}

impl<const BACKLOG: usize> Device<'_, BACKLOG> {
    /// Begins a clean stop: the broker is told `offline`, within
    /// [`Device::STOP_MS`]. It is complete when the session has stopped.
    pub fn stop(&mut self, now: Instant) {
        if self.stopping == Stopping::No {
            self.stopping = Stopping::Wanted(now.after(Self::STOP_MS));
        }
    }

    pub(super) fn stop_step(&mut self, session: &mut Session<'_>, now: Instant) {
        if let Stopping::Wanted(until) = self.stopping
            && session.is_connected()
        {
            let mut name = [0; MAX_LEN];
            let offline = Availability::Offline.as_str().as_bytes();
            let topic = self.topic(Topic::Status, &mut name);
            let publication = Publication::new(topic, offline)
                .qos(QoS::AtLeastOnce)
                .retained()
                .latest();
            if let Ok(published) = session.publish(&publication, now) {
                self.stopping = Stopping::Published(published.id, until);
            }
        }
        match self.stopping {
            Stopping::Wanted(until) | Stopping::Published(_, until)
                if until <= now || !session.is_connected() =>
            {
                // Without DISCONNECT the broker publishes the will: it says
                // `offline` where the device could not.
                session.stop(now);
                session.failed(Network::Closed, now);
                self.stopping = Stopping::Done;
            }
            Stopping::Told(until) => {
                session.stop(now);
                self.stopping = Stopping::Closing(until);
            }
            Stopping::Closing(_) if session.is_stopped() => self.stopping = Stopping::Done,
            Stopping::Closing(until) if until <= now => {
                session.failed(Network::Closed, now);
                self.stopping = Stopping::Done;
            }
            _ => {}
        }
    }
}
