//! A device from its start to its end: its code in the loop of a board.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use aldis_device::{Backlog, Device, Mail, Memory, Settings, Supervisor};
use aldis_flash::Store;
use aldis_mqtt::link::Link;
use aldis_mqtt::wire::Property;
use aldis_mqtt::{Event, Instant, Message, Network, Session, Transport, Versions};
use aldis_protocol::{Message as Letter, Reason, Scratch, decode_command};
use embassy_futures::poll_once;

use crate::env::{Dialler, Env, LocalClock, SharedFlash, WorldBoard};
use crate::invariant::Invariant;
use crate::log::What;
use crate::overseer::Overseer;
use crate::sensor::Line;
use crate::witness::{BACKLOG, Said, Witness};

/// What goes out together.
const SEGMENT: usize = 1_400;

/// How often radio and address are looked at, in milliseconds.
const LOOK_MS: u32 = 1_000;

/// How much later than that, as long as there is contact.
const LOOK_LATER_MS: u32 = 1_500;

/// What a long press answers.
const REPLY: &str = "I am coming";

/// What a person at a device can choose to send.
const PRESETS: [&str; 3] = ["All is well", "Come here", "Ačiū, iki vakaro"];

/// What a device is made of.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub id: String,
    pub seed: u64,
    pub confirm: bool,
    pub versions: Versions,
    pub interval_ms: u32,
    pub keep_alive_s: u16,
    /// What a message asks for may be done a moment after it was heard.
    pub dawdles: bool,
    pub pages: u32,
    /// To whom a person at it sends messages.
    pub peer: Option<String>,
    /// It has a display.
    pub display: bool,
    /// Why it starts.
    pub why: &'static str,
}

/// Lives until the power goes, which drops it, or until it was asked to stop.
pub(crate) async fn life(env: Rc<Env>, birth: Birth, flash: SharedFlash) {
    let Ok(mut settings) = Settings::new("aldis", &birth.id) else {
        return;
    };
    settings.confirm = birth.confirm;
    settings.interval_ms = birth.interval_ms;
    settings.keep_alive_s = birth.keep_alive_s;
    settings.versions = birth.versions;
    settings.start_limit = Some(5);
    settings.reply = Some(REPLY);
    settings.presets = &PRESETS;
    settings.peer = birth.peer.as_deref();
    let mut board = WorldBoard {
        env: env.clone(),
        store: Store::new(flash.clone(), 0..birth.pages * 4_096).ok(),
        flash,
        measure: false,
        own: format!("aldis/{}/led/set", birth.id),
    };
    let letters = format!("aldis/{}/message/set", birth.id);
    let saved = board.store.as_mut().map(Store::saved).unwrap_or_default();
    let now = env.now();
    let mut backlog = Box::new(Backlog::<BACKLOG>::new());
    let mut mail = Box::new(Mail::new());
    let mut device: Device<'_, BACKLOG> =
        Device::new(settings, saved, &mut backlog, &mut mail, now, &mut board);
    if let Some(store) = &mut board.store {
        store.recall(BACKLOG, |reading| {
            env.side.borrow_mut().witness.recalled(reading.seq);
            device.recall(reading);
        });
        let places = store.letter_places();
        store.recall_letters(|letter, mark| {
            let place = letter.number as usize % places;
            let witness = &mut env.side.borrow_mut().witness;
            witness.letter_recalled(place, &letter, mark);
            device.recall_letter(letter, mark);
        });
        store.recall_notes(|note| device.recall_note(note));
        store.recall_outgoing(|outgoing| device.recall_outgoing(outgoing));
    }
    if !board.env.side.borrow().witness.powered {
        return std::future::pending().await;
    }
    let line_rng = {
        let side = &mut *env.side.borrow_mut();
        side.witness
            .say(What::Boot(birth.why, saved.boot.wrapping_add(1)));
        side.witness.radio_starts();
        side.rng.fork(7)
    };
    let mut line = Line::new(line_rng);
    let mut memory = Box::new(Memory::new());
    let Ok(session) = memory.session(&settings, birth.seed, now) else {
        return;
    };
    let mut segment = [0; SEGMENT];
    let connector = Dialler(env.clone());
    let mut link = Link::new(session, connector, LocalClock(env.clone())).gather(&mut segment);
    if device.subscribe(link.session()).is_err() {
        return;
    }
    let mut contact = Contact {
        supervisor: Supervisor::new(now),
        overseer: Overseer::new(now),
        address: None,
        last_address: None,
        look_at: now,
    };
    // When the answer of a measurement comes, where it does not come at once.
    let mut answer = None;
    let mut open = false;
    let mut stopping = false;
    let mut deadline = now;
    loop {
        let (session, now) = link.parts();
        if !env.poked.take() || deadline <= now {
            if let Some((at, reading)) = answer
                && at <= now
            {
                answer = None;
                env.side.borrow_mut().witness.measured(reading);
                device.measured(&line.pulses, now, &mut board);
            }
            if contact.looks(&env, session, now) {
                let side = &mut *env.side.borrow_mut();
                side.safe = device.is_safe();
                side.backlog = device.backlog();
                if side.stop && !stopping {
                    stopping = true;
                    device.stop(now);
                }
            }
            for pressed in env.side.borrow_mut().button.drain(..) {
                device.button(pressed, now);
            }
            deadline = device.run(session, now, &mut board);
            if birth.display {
                device.drawn(now);
            }
            if std::mem::take(&mut board.measure) {
                let measured = {
                    let side = &mut *env.side.borrow_mut();
                    let reading = side.room.wander(&mut side.rng);
                    let measured = line.measure(side.sensor, reading);
                    if measured.after_ms == Some(0) {
                        side.witness.measured(measured.reading);
                    }
                    measured
                };
                answer = None;
                match measured.after_ms {
                    Some(0) => {
                        device.measured(&line.pulses, now, &mut board);
                        deadline = device.run(session, now, &mut board);
                    }
                    Some(after) => answer = Some((now.after(after), measured.reading)),
                    None => {}
                }
            }
            if env.side.borrow().restarts {
                return;
            }
            // Before a restart it stops as well.
            if session.is_stopped() && stopping {
                env.side.borrow_mut().stopped = true;
                return;
            }
        }
        open |= session.transport() != Transport::Closed;
        let connected = session.is_connected();
        env.side.borrow_mut().witness.turned(connected);
        // Without an address an attempt would fail, and the next one wait longer.
        if contact.address.is_some() || open {
            env.link_deadline.set(u64::MAX);
            if let Poll::Ready(event) = poll_once(link.next()) {
                let mut pending = take_note(&env, &event, &birth, &board.own, &letters);
                open &= !matches!(event, Event::Disconnected { .. });
                let first = device.event(&event, now, &mut board);
                let told = env.side.borrow().witness.to_be_done();
                let mut second = None;
                if pending && birth.dawdles {
                    // As a program does that needs a moment for what it was told.
                    if let Poll::Ready(event) = poll_once(link.next()) {
                        pending |= take_note(&env, &event, &birth, &board.own, &letters);
                        open &= !matches!(event, Event::Disconnected { .. });
                        second = Some(device.event(&event, now, &mut board));
                    }
                }
                if pending {
                    env.side.borrow_mut().witness.reacted();
                }
                let later = env.side.borrow().witness.to_be_done() - told;
                let (session, _) = link.parts();
                device.react(first, session, &mut board);
                env.side.borrow_mut().witness.has_reacted(later);
                if let Some(second) = second {
                    device.react(second, session, &mut board);
                    env.side.borrow_mut().witness.has_reacted(0);
                }
                continue;
            }
        } else {
            env.link_deadline.set(u64::MAX);
        }
        let late = if connected { LOOK_LATER_MS } else { 0 };
        let mut wake = deadline.min(contact.look_at.after(late)).as_millis();
        if let Some((at, _)) = answer {
            wake = wake.min(at.as_millis());
        }
        env.wake.set(wake.min(env.link_deadline.get()));
        let mut turned = false;
        poll_fn(|_| match std::mem::replace(&mut turned, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

/// Lets the witness know of an event. Says whether it is a message that waits to be handled.
fn take_note(env: &Env, event: &Event<'_>, birth: &Birth, commands: &str, letters: &str) -> bool {
    match *event {
        Event::Connected {
            session_present,
            properties,
            ..
        } => {
            let imposed = properties.into_iter().find_map(|property| match property {
                Property::ServerKeepAlive(seconds) => Some(seconds),
                _ => None,
            });
            let keep_alive_ms = u64::from(imposed.unwrap_or(birth.keep_alive_s)) * 1_000;
            let witness = &mut env.side.borrow_mut().witness;
            witness.connected(session_present, keep_alive_ms);
            false
        }
        Event::Message(message) => match message.token {
            Some(token) => {
                let id = token.packet_id().get();
                let witness = &mut env.side.borrow_mut().witness;
                witness.reacts(id);
                let topic = message.topic.as_str();
                if topic == letters {
                    letter_comes(witness, id, &message);
                } else {
                    let mut scratch = Scratch::new();
                    let (named, _) = match topic == commands && !message.retain {
                        true => decode_command(message.payload, &mut scratch),
                        false => (None, Err(Reason::Command)),
                    };
                    witness.command_comes(id, named);
                }
                true
            }
            None => false,
        },
        Event::Oversized { topic, .. } if topic.as_str() == letters => {
            env.side.borrow_mut().witness.oversized();
            false
        }
        _ => false,
    }
}

fn letter_comes(witness: &mut Witness, packet: u16, message: &Message<'_>) {
    if message.retain {
        return;
    }
    let mut scratch = Scratch::new();
    let decoded = Letter::decode(message.payload, &mut scratch);
    let left = message
        .properties
        .into_iter()
        .find_map(|property| match property {
            Property::MessageExpiryInterval(left) => Some(left),
            _ => None,
        });
    let expires_s = decoded.as_ref().ok().and_then(|letter| letter.expires_s);
    let expired = left == Some(0) || expires_s == Some(0);
    let said = match &decoded {
        Ok(letter) => Ok(Said {
            id: letter.id,
            from: letter.from,
            text: letter.text,
        }),
        Err(refused) => Err(refused.id),
    };
    witness.message_comes(packet, said, expired);
}

/// What the device knows of radio and address, and who looks after them.
struct Contact {
    supervisor: Supervisor,
    overseer: Overseer,
    address: Option<u32>,
    /// The last one that there was.
    last_address: Option<u32>,
    look_at: Instant,
}

impl Contact {
    /// Looks at radio and address, if it is time to, and feeds the watchdog if all gets on.
    /// Says whether it was time.
    fn looks(&mut self, env: &Env, session: &mut Session<'_>, now: Instant) -> bool {
        let side = &mut *env.side.borrow_mut();
        if side.address != self.address {
            self.address = side.address;
            if let Some(address) = self.address {
                // A connection of the old one is dead, and nobody would say so.
                if self
                    .last_address
                    .replace(address)
                    .is_some_and(|last| last != address)
                    && session.transport() != Transport::Closed
                {
                    session.failed(Network::Down, now);
                }
            }
            let losses = &mut side.vitals.dhcp_losses;
            *losses = losses.map(|count| count.saturating_add(1));
        }
        if now < self.look_at {
            return false;
        }
        self.look_at = now.after(LOOK_MS);
        if !side.hangs {
            side.radio.turns = side.radio.turns.wrapping_add(1);
            side.radio.polls = side.radio.polls.wrapping_add(1);
        }
        let connected = session.is_connected();
        if side.link && side.address.is_some() && !connected {
            // The gateway answers for its address.
            side.radio.heard = side.radio.heard.wrapping_add(1);
        }
        let order = self.supervisor.watch(side.radio, connected, now);
        if let Err((invariant, detail)) = self.overseer.looks(side.radio, connected, order, now) {
            side.witness.violate(invariant, detail);
        }
        side.orders.extend(order);
        let alive = self.supervisor.is_alive(now);
        let hung_ms = match side.hangs {
            true => side.witness.now.saturating_sub(side.hangs_since),
            false => 0,
        };
        if alive && hung_ms > u64::from(Supervisor::TURN_MS) * 103 / 100 + 5_000 {
            let detail = format!("the radio's task hangs since {hung_ms} ms, and it is fed");
            side.witness.violate(Invariant::WatchdogByProgress, detail);
        }
        if !alive && !side.hangs {
            let detail = "everything gets on, and it is not fed".to_owned();
            side.witness.violate(Invariant::WatchdogByProgress, detail);
        }
        true
    }
}
