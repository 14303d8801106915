//! A clean stop, and a restart that somebody told the device to do.

use aldis_mqtt::{Instant, Message, Network, Publication, PublicationId, QoS, Session};
use aldis_protocol::topic::MAX_LEN;
use aldis_protocol::{Availability, Scratch, Topic, decode_restart};

use super::Device;
use super::obey::{OLD, RETAINED};
use crate::mail::{Asker, Word};
use crate::recent::Recent;
use crate::{Board, Notice};

/// How long the answer to a command to restart may take, in milliseconds, before the device
/// restarts without it.
const ANSWER_MS: u32 = 30_000;
/// How long what was written last may take to leave the machine, in milliseconds.
const LEAVE_MS: u32 = 100;

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
    /// It has stopped, and the device restarts at this moment.
    Leaving(Instant),
    Done,
}

/// A restart that somebody told the device to do.
///
/// A message that comes again must not restart the device again. One that has an id is known
/// by it, over restarts. Of another the broker has to know that it was heard: it is
/// acknowledged before `offline` is published, and the end of that tells that the broker has
/// both, since it reads in order. Until then the device goes on, over outages as well. (Where
/// a broker forgets the acknowledgement, it sends the message before the device's word to
/// itself: [`Past`](super::past::Past).)
#[derive(Clone, Copy, Debug)]
pub(super) struct Restart {
    /// Without the broker's word it happens then; never, if that is needed.
    pub until: Instant,
}

impl<const BACKLOG: usize> Device<'_, BACKLOG> {
    /// Begins a clean stop: the broker is told `offline`, within
    /// [`Device::STOP_MS`]. It is complete when the session has stopped.
    pub fn stop(&mut self, now: Instant) {
        let until = now.after(Self::STOP_MS);
        // It does not restart any more.
        self.stopping = match (self.stopping, self.restart.take()) {
            (Stopping::No, _) | (Stopping::Wanted(_), Some(_)) => Stopping::Wanted(until),
            (Stopping::Published(offline, _), Some(_)) => Stopping::Published(offline, until),
            (Stopping::Leaving(_), _) => Stopping::Done,
            (stopping, _) => stopping,
        };
    }

    /// A command to restart.
    pub(super) fn restart(&mut self, message: &Message<'_>, now: Instant, board: &mut impl Board) {
        let topic = message.topic.as_str();
        let mut scratch = Scratch::new();
        let (id, decoded) = decode_restart(message.payload, &mut scratch);
        let asker = Asker::new(id, message.properties);
        let hash = asker
            .id
            .as_ref()
            .map(|id| Recent::hash("restart", id.bytes()));
        let why = match decoded {
            _ if message.retain => RETAINED,
            Ok(()) if hash.is_some_and(|hash| self.saved.recent.outcome(hash).is_some()) => {
                // It was done, or is about to be.
                return self.answer(&asker, Ok(()), now);
            }
            Ok(()) if self.past.refuses(message) => OLD,
            Ok(()) => {
                let mut until = now.after(ANSWER_MS);
                if let Some(hash) = hash {
                    self.saved.recent.remember(hash, true);
                    board.save(&self.saved);
                } else if message.token.is_some() {
                    until = Instant::NEVER;
                }
                if let Some(earlier) = self.restart {
                    until = until.max(earlier.until);
                    if matches!(self.stopping, Stopping::Wanted(_) | Stopping::Published(..)) {
                        // What came again is to be acknowledged again first.
                        self.stopping = Stopping::No;
                    }
                }
                self.restart = Some(Restart { until });
                let id = asker.id.as_deref();
                board.notice(Notice::Restart { id });
                return self.answer(&asker, Ok(()), now);
            }
            Err(reason) => reason.as_str(),
        };
        board.notice(Notice::Ignored { topic, why });
        if !message.retain {
            self.answer(&asker, Err(why), now);
        }
    }

    /// Whether nothing is owed for commands: neither acknowledgement nor answer.
    fn is_even(&self) -> bool {
        let tray = &self.mail.tray;
        let answers = |word: &Word| matches!(word, Word::Answer(_));
        self.mail.held.is_empty()
            && tray.replies.len() == 0
            && !tray.notes.waiting().any(|entry| answers(&entry.word))
    }

    /// Begins the stop before a restart, when it is time for that.
    fn restart_step(&mut self, session: &mut Session<'_>, now: Instant) {
        let Some(Restart { until }) = self.restart else {
            return;
        };
        let waits = until == Instant::NEVER;
        match self.stopping {
            Stopping::No if until <= now || session.is_connected() && self.is_even() => {
                self.stopping = Stopping::Wanted(match waits {
                    true => until,
                    false => now.after(Self::STOP_MS),
                });
            }
            Stopping::Wanted(_) if waits && !session.is_connected() => {
                self.stopping = Stopping::No;
            }
            Stopping::Published(offline, _) if waits && !session.is_connected() => {
                session.withdraw(offline);
                self.stopping = Stopping::No;
            }
            _ => {}
        }
    }

    /// The last that is done before a restart.
    fn leave(&mut self, board: &mut impl Board) {
        if self.stable_at != Instant::NEVER && !self.safe {
            // It was no fault of this start that it did not last.
            self.saved.unstable = self.saved.unstable.saturating_sub(1);
            board.save(&self.saved);
        }
        board.restart();
    }

    pub(super) fn stop_step(
        &mut self,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) {
        self.restart_step(session, now);
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
                self.stopping = Stopping::Closing(until.min(now.after(Self::STOP_MS)));
            }
            Stopping::Closing(_) if session.is_stopped() => self.stopping = Stopping::Done,
            Stopping::Closing(until) if until <= now => {
                session.failed(Network::Closed, now);
                self.stopping = Stopping::Done;
            }
            Stopping::Leaving(at) if at <= now => {
                self.stopping = Stopping::Done;
                self.leave(board);
            }
            _ => {}
        }
        if self.stopping == Stopping::Done && self.restart.take().is_some() {
            self.stopping = Stopping::Leaving(now.after(LEAVE_MS));
        }
    }
}
