//! The ways to break it: at least one for each promise of the session, and for what the device
//! and its supervisor do.

/// One of them.
pub struct Patch {
    /// Its name: the promise, and how it is broken.
    pub name: &'static str,
    /// What is wrong then.
    pub what: &'static str,
    /// The file, from the root.
    pub file: &'static str,
    /// The text that is there once.
    pub from: &'static str,
    /// The text in its place.
    pub to: &'static str,
    /// What the world must find violated, one of these.
    pub expected: &'static [&'static str],
}

/// All of them.
pub const PATCHES: &[Patch] = &[
    Patch {
        name: "1-delivered-when-sent",
        what: "readings count as done when the connection ends",
        file: "device/src/backlog.rs",
        from: "                entry.state = match done {
                    true => State::Done,
                    false => State::Waiting,
                };
            }
        }
        self.trim();
    }

    fn trim",
        to: "                let _ = done;
                entry.state = State::Done;
            }
        }
        self.trim();
    }

    fn trim",
        expected: &["nothing-lost"],
    },
    Patch {
        name: "1-any-acknowledgement",
        what: "an acknowledgement ends another publication than its own",
        file: "mqtt/src/session/receive.rs",
        from: "let Some((at, entry)) = self.outbox.sent(packet_id) else {",
        to: "let other = crate::wire::PacketId::new(packet_id.get() ^ 1).unwrap_or(packet_id);
        let found = self.outbox.sent(other).filter(|(_, entry)| entry.in_flight() && entry.qos() == QoS::AtLeastOnce);
        let Some((at, entry)) = found.or_else(|| self.outbox.sent(packet_id)) else {",
        expected: &["nothing-lost", "in-order", "states-told", "dead-peer-noticed", "no-storm"],
    },
    Patch {
        name: "1-flash-forgets-one",
        what: "the oldest reading in the flash is left out at a start",
        file: "boards/flash/src/store/log.rs",
        from: "        let mut last = done;
",
        to: "        let mut last = done + 1;
",
        expected: &["nothing-lost"],
    },
    Patch {
        name: "1-drops-are-not-counted",
        what: "readings that are given up do not show in diag",
        file: "device/src/device/mod.rs",
        from: "        self.counters.gave_up(why);
        board.notice(",
        to: "        board.notice(",
        expected: &["nothing-lost"],
    },
    Patch {
        name: "2-repeated-is-new",
        what: "a message at QoS 2 that comes again is told again",
        file: "mqtt/src/session/inbound.rs",
        from: "        if qos == QoS::ExactlyOnce
            && let Some(at) = self.position(packet_id, qos)",
        to: "        if qos == QoS::ExactlyOnce
            && false
            && let Some(at) = self.position(packet_id, qos)",
        expected: &["exactly-once", "in-order", "retained-ignored"],
    },
    Patch {
        name: "2-clean-start-always",
        what: "each connection begins a new session",
        file: "mqtt/src/session/connection.rs",
        from: "            (CleanStart::Never, _) => false,",
        to: "            (CleanStart::Never, _) => true,",
        expected: &["exactly-once", "in-order"],
    },
    Patch {
        name: "2-newest-first",
        what: "the newest reading goes first",
        file: "device/src/backlog.rs",
        from: "        self.iter()
            .find(|entry| entry.state == State::Waiting)
            .copied()",
        to: "        self.iter()
            .filter(|entry| entry.state == State::Waiting)
            .last()
            .copied()",
        expected: &["in-order"],
    },
    Patch {
        name: "3-anything-is-proof",
        what: "whatever is received counts as an answer",
        file: "mqtt/src/session/receive.rs",
        from: "        self.end += len.min(self.receive.len() - self.end);",
        to: "        self.end += len.min(self.receive.len() - self.end);
        self.proof_at = self.timers.now();
        self.timers.stop(super::timers::Timer::Answer);
        self.timers.stop(super::timers::Timer::Acknowledge);",
        expected: &["dead-peer-noticed", "states-told", "nothing-lost"],
    },
    Patch {
        name: "3-silence-is-borne",
        what: "a missing answer is no reason",
        file: "mqtt/src/session/connection.rs",
        from: "            due.has(Timer::Answer) || due.has(Timer::Acknowledge) && self.is_unanswered()
        };",
        to: "            due.has(Timer::Acknowledge) && self.is_unanswered() && false
        };",
        expected: &["dead-peer-noticed"],
    },
    Patch {
        name: "4-refused-is-the-end",
        what: "after a refusal there is no further attempt",
        file: "mqtt/src/session/connection.rs",
        from: "        self.state = State::Waiting;
        self.timers.arm_after(Timer::Reconnect, wait);
    }

    /// How long to wait",
        to: "        self.state = State::Waiting;
        if !matches!(cause, Cause::Refused(_)) {
            self.timers.arm_after(Timer::Reconnect, wait);
        }
    }

    /// How long to wait",
        expected: &["contact-returns"],
    },
    Patch {
        name: "4-no-waiting",
        what: "attempts follow each other without a wait",
        file: "mqtt/src/session/connection.rs",
        from: "        least.saturating_add(self.jitter(bound))",
        to: "        least.saturating_add(self.jitter(bound)) / 64",
        expected: &["no-storm"],
    },
    Patch {
        name: "5-subscriptions-are-not-renewed",
        what: "subscriptions are taken to hold although the broker forgot the session",
        file: "mqtt/src/outbox/mod.rs",
        from: "            (Kind::Subscription, State::Held) if kept && !unsure => State::Held,",
        to: "            (Kind::Subscription, State::Held) => State::Held,",
        expected: &["subscriptions-hold"],
    },
    Patch {
        name: "6-acknowledged-at-once",
        what: "a message is acknowledged before the application has it",
        file: "mqtt/src/session/inbound.rs",
        from: "        let state = match qos {
            QoS::ExactlyOnce => State::Two,
            _ => State::One,
        };",
        to: "        let state = match qos {
            QoS::ExactlyOnce => State::TwoHandled,
            _ => State::OneHandled,
        };
        self.due = true;",
        expected: &["handled-then-acknowledged"],
    },
    Patch {
        name: "7-receive-maximum",
        what: "the broker's receive maximum is not obeyed",
        file: "mqtt/src/session/connection.rs",
        from: "                id::RECEIVE_MAXIMUM => limits.allowed = number as u16,",
        to: "                id::RECEIVE_MAXIMUM => {}",
        expected: &["limits-obeyed"],
    },
    Patch {
        name: "7-packet-size",
        what: "the broker's maximum packet size is not obeyed",
        file: "mqtt/src/session/connection.rs",
        from: "                id::MAXIMUM_PACKET_SIZE => limits.maximum_packet_size = number,",
        to: "                id::MAXIMUM_PACKET_SIZE => {}",
        expected: &["limits-obeyed"],
    },
    Patch {
        name: "8-panics-on-garbage",
        what: "bytes that are no packet make it panic",
        file: "mqtt/src/session/connection.rs",
        from: "        let cause = Cause::Protocol(fault);
        match self.state {",
        to: "        let cause = Cause::Protocol(fault);
        assert!(fault != Fault::Malformed, \"malformed\");
        match self.state {",
        expected: &["no-panic"],
    },
    Patch {
        name: "8-spins",
        what: "its deadline is always now",
        file: "mqtt/src/session/mod.rs",
        from: "            // Something is to be told.
            true => self.timers.now(),
            false => self.timers.next(),",
        to: "            // Something is to be told.
            true => self.timers.now(),
            false => self.timers.next().min(self.timers.now()),",
        expected: &["no-spin"],
    },
    Patch {
        name: "8-leaks-into-the-next",
        what: "what was not written yet is written on the next connection",
        file: "mqtt/src/link/mod.rs",
        from: "            self.unflushed = 0;
            self.gather.clear();
        }
    }",
        to: "            self.unflushed = 0;
        }
    }",
        expected: &["connections-apart"],
    },
    Patch {
        name: "9-dropped-and-lost",
        what: "what was to be written is lost where the future is dropped",
        file: "mqtt/src/link/mod.rs",
        from: "        if self.unflushed > 0 || !self.gather.bytes().is_empty() {
            return;
        }",
        to: "        if self.unflushed > 0 {
            return;
        }
        self.gather.clear();",
        expected: &["connections-apart", "in-order", "limits-obeyed", "nothing-lost"],
    },
    Patch {
        name: "device-number-twice",
        what: "the next number after a start is the last of before",
        file: "boards/flash/src/store/saved.rs",
        from: "            seq: saved.seq.max(newest.seq.saturating_add(1)),
            ..saved
        }
    }

    /// Keeps what is to be saved.",
        to: "            seq: saved.seq.max(newest.seq),
            ..saved
        }
    }

    /// Keeps what is to be saved.",
        expected: &["numbers-once"],
    },
    Patch {
        name: "device-checksum",
        what: "answers of the sensor are believed whatever their checksum",
        file: "device/src/dht/frame.rs",
        from: "        if sum([a, b, c, d]) != check {",
        to: "        if false && sum([a, b, c, d]) != check {",
        expected: &["true-values"],
    },
    Patch {
        name: "device-age",
        what: "readings are said to be new when they are sent",
        file: "device/src/backlog.rs",
        from: "        let since = now.since(self.taken);",
        to: "        let since = now.since(self.taken).min(1_000);",
        expected: &["true-age"],
    },
    Patch {
        name: "device-lamp-at-boot",
        what: "the lamp is dark after a start",
        file: "device/src/device/mod.rs",
        from: "        board.light(saved.lamp);
        let limit",
        to: "        board.light(Lamp::Off);
        let limit",
        expected: &["lamp-restored"],
    },
    Patch {
        name: "device-lamp-is-not-kept",
        what: "the lamp's state is not kept over a restart",
        file: "device/src/device/obey.rs",
        from: "            self.saved.lamp = lamp;
            board.save(&self.saved);",
        to: "            board.save(&self.saved);
            self.saved.lamp = lamp;",
        expected: &["lamp-restored"],
    },
    Patch {
        name: "device-toggle",
        what: "toggle lights a lamp that is lit",
        file: "device/src/device/obey.rs",
        from: "        let lamp = command.apply(self.saved.lamp);",
        to: "        let lamp = command.apply(aldis_protocol::Lamp::Off);",
        expected: &["lamp-obeys"],
    },
    Patch {
        name: "device-retained-commands",
        what: "commands that the broker kept are obeyed",
        file: "device/src/device/obey.rs",
        from: "            _ if retain => Err(RETAINED),
",
        to: "",
        expected: &["retained-ignored"],
    },
    Patch {
        name: "device-old-commands",
        what: "commands of before the start are obeyed",
        file: "device/src/device/past.rs",
        from: "                if !self.refused.renews(message) && message.token.is_some() {
                    self.refused.push(message);
                }
                true
",
        to: "                false
",
        expected: &["old-ignored"],
    },
    Patch {
        name: "device-birth",
        what: "nobody is told that the device is there again",
        file: "device/src/device/mod.rs",
        from: "        self.status.due = true;
        self.lamp.due = true;
        self.sensor_state",
        to: "        self.lamp.due = true;
        self.sensor_state",
        expected: &["states-told"],
    },
    Patch {
        name: "device-echo",
        what: "the lamp's state is not told after a command",
        file: "device/src/device/obey.rs",
        from: "        board.notice(Notice::Lamp(lamp));
        self.lamp.due = true;",
        to: "        board.notice(Notice::Lamp(lamp));",
        expected: &["states-told"],
    },
    Patch {
        name: "device-will",
        what: "the broker does not keep that the device is gone",
        file: "device/src/settings.rs",
        from: "                retain: true,
",
        to: "                retain: false,
",
        expected: &["gone-is-told"],
    },
    Patch {
        name: "device-confirm",
        what: "what the broker lost is not sent again",
        file: "device/src/backlog.rs",
        from: "                entry.state = State::Waiting;
                lost = true;",
        to: "                lost = true;",
        expected: &["confirmed", "nothing-lost"],
    },
    Patch {
        name: "device-window",
        what: "one reading that is not answered stops all",
        file: "device/src/device/obey.rs",
        from: "            self.backlog.take_back(|id| session.withdraw(id));",
        to: "            self.backlog.take_back(|_| false);",
        expected: &["readings-go-on", "nothing-lost", "in-order", "true-age"],
    },
    Patch {
        name: "message-told-once",
        what: "that a message was read is not told",
        file: "device/src/mail/letters.rs",
        from: "            Some((state, at)) if self.told < ENDED => Some((ENDED, state, at)),",
        to: "            Some((state, at)) if self.told < RECEIVED => Some((ENDED, state, at)),",
        expected: &["messages-have-a-state"],
    },
    Patch {
        name: "message-question-unheard",
        what: "who sends a message again hears nothing of it",
        file: "device/src/device/obey.rs",
        from: "            self.mail.letters.tell_again(place);
",
        to: "",
        expected: &["messages-have-a-state"],
    },
    Patch {
        name: "message-lost-report",
        what: "a report that was under way when contact was lost is not told again",
        file: "device/src/mail/letters.rs",
        from: "            if entry.under_way.is_some_and(|(id, _)| withdraw(id)) {
                entry.under_way = None;",
        to: "            if let Some((_, level)) = entry.under_way.take_if(|(id, _)| withdraw(*id)) {
                entry.told = level;",
        expected: &["messages-have-a-state"],
    },
    Patch {
        name: "message-twice",
        what: "a message that comes again is another one",
        file: "device/src/mail/letters.rs",
        from: "entry.letter.id == id && entry.letter.from == from)",
        to: "entry.letter.id == id && entry.letter.from == from && entry.is_unread())",
        expected: &["messages-once"],
    },
    Patch {
        name: "message-not-kept",
        what: "a message is not kept over a restart",
        file: "device/src/device/obey.rs",
        from: "            board.keep_letter(&entry.letter);",
        to: "            let _ = entry;",
        expected: &["messages-kept"],
    },
    Patch {
        name: "message-flash-forgets",
        what: "the flash gives back all messages but the last",
        file: "boards/flash/src/store/mail.rs",
        from: "        for place in 0..places {",
        to: "        for place in 1..places {",
        expected: &["messages-kept"],
    },
    Patch {
        name: "message-read-is-forgotten",
        what: "that a message was read is not kept over a restart",
        file: "device/src/mail/letters.rs",
        from: "            ended: ended.map(|mark| (mark.state, now)),",
        to: "            ended: ended.filter(|_| false).map(|mark| (mark.state, now)),",
        expected: &["messages-have-a-state", "lamp-obeys"],
    },
    Patch {
        name: "message-note-lost",
        what: "what is to be told of a message is lost where much is to be told",
        file: "device/src/mail/tray.rs",
        from: "    pub notes: Queue<Entry, { Tray::NOTES }>,",
        to: "    pub notes: Queue<Entry, 6>,",
        expected: &["messages-have-a-state", "ids-once", "nothing-lost"],
    },
    Patch {
        name: "message-note-not-kept",
        what: "what became of a message is not kept before the message is acknowledged",
        file: "device/src/device/obey.rs",
        from: "        let kept = number.filter(|_| board.keep_note(&note));",
        to: "        let kept = number;",
        expected: &["messages-have-a-state"],
    },
    Patch {
        name: "message-note-forgotten",
        what: "what became of a message is forgotten by a restart",
        file: "boards/flash/src/store/mail.rs",
        from: "            if let Some(note) = note.and_then(decode_note) {",
        to: "            if let Some(note) = note.and_then(decode_note).filter(|_| false) {",
        expected: &["messages-have-a-state"],
    },
    Patch {
        name: "message-note-told-too-late",
        what: "a message of which no note is kept is acknowledged before that is told",
        file: "device/src/device/obey.rs",
        from: "            first: kept.is_none() && promise != Promise::None,",
        to: "            first: false,",
        expected: &["messages-have-a-state"],
    },
    Patch {
        name: "message-note-of-what-is-here",
        what: "a message whose place was not taken in the end is told as replaced",
        file: "device/src/device/mod.rs",
        from: "        self.mail.tray.notes.recall(entry, note.number, untrue);",
        to: "        self.mail.tray.notes.recall(entry, note.number, false & untrue);",
        expected: &["messages-have-a-state"],
    },
    Patch {
        name: "message-to-another-forgotten",
        what: "what a person sends is forgotten by a restart",
        file: "device/src/device/mod.rs",
        from: "        self.mail.outgoing.recall(outgoing, number, false);",
        to: "        self.mail.outgoing.recall(outgoing, number, true);",
        expected: &["messages-arrive"],
    },
    Patch {
        name: "message-to-another-renamed",
        what: "what a person sends has another id after a restart",
        file: "boards/flash/src/store/mail.rs",
        from: "                    id: letter.id,
                    to:",
        to: "                    id: letter.id.chars().rev().collect(),
                    to:",
        expected: &["messages-arrive"],
    },
    Patch {
        name: "message-to-another-twice",
        what: "what a person sends is not forgotten when the broker has it",
        file: "device/src/device/mod.rs",
        from: "        mail.outgoing.sweep(|number| board.forget_outgoing(number));",
        to: "        mail.outgoing.sweep(|_| {});",
        expected: &["messages-arrive"],
    },
    Patch {
        name: "message-held-for-ever",
        what: "what was held back is never acknowledged",
        file: "device/src/device/mod.rs",
        from: "                session.acknowledge(token);",
        to: "                let _ = token;",
        expected: &["messages-have-a-state", "messages-arrive", "exactly-once"],
    },
    Patch {
        name: "message-to-another-lost",
        what: "what a person sends is thrown away without contact",
        file: "device/src/device/person.rs",
        from: "                let publication = Publication::new(topic, payload).qos(QoS::ExactlyOnce);",
        to: "                let publication = Publication::new(topic, payload);",
        expected: &["messages-arrive", "messages-have-a-state"],
    },
    Patch {
        name: "id-not-remembered",
        what: "a command with an id that comes again is executed again",
        file: "device/src/device/obey.rs",
        from: "            self.saved.recent.remember(hash, true);
        }
        if lamp",
        to: "            let _ = hash;
        }
        if lamp",
        expected: &["ids-once"],
    },
    Patch {
        name: "id-not-kept",
        what: "ids of commands are not known after a restart",
        file: "boards/flash/src/store/saved.rs",
        from: "        let entry = encode_saved(saved);",
        to: "        let entry = encode_saved(&Saved { recent: Recent::default(), ..*saved });",
        expected: &["ids-once"],
    },
    Patch {
        name: "id-kept-too-late",
        what: "an id is kept with the next change of the lamp only",
        file: "device/src/device/obey.rs",
        from: "        if lamp != self.saved.lamp || hash.is_some() {",
        to: "        if lamp != self.saved.lamp {",
        expected: &["ids-once"],
    },
    Patch {
        name: "id-not-answered",
        what: "a command that was done already is not answered",
        file: "device/src/device/obey.rs",
        from: "            return self.answer(asker, Ok(()), now);
        }
        let lamp",
        to: "            return;
        }
        let lamp",
        expected: &["ids-once"],
    },
    Patch {
        name: "id-answered-wrongly",
        what: "a command that is none is said to be done",
        file: "device/src/device/obey.rs",
        from: "                if !retain {
                    self.answer(&asker, Err(why), now);",
        to: "                if !retain {
                    self.answer(&asker, Ok(()), now);",
        expected: &["ids-once"],
    },
    Patch {
        name: "supervisor-resets-for-an-absence",
        what: "the chip is restarted for an absent access point",
        file: "device/src/supervisor.rs",
        from: "            (false, _, _) => Order::Reinitialise,",
        to: "            (false, _, _) if self.orders > 1 => Order::Reset,
            (false, _, _) => Order::Reinitialise,",
        expected: &["reset-only-when-stuck"],
    },
    Patch {
        name: "supervisor-sleeps",
        what: "a radio that is joined and useless is not helped",
        file: "device/src/supervisor.rs",
        from: "        if contact || radio.heard != before.heard {",
        to: "        if contact || radio.joined || radio.heard != before.heard {",
        expected: &["radio-helped", "contact-returns"],
    },
    Patch {
        name: "supervisor-feeds-always",
        what: "the watchdog is fed while the radio's task hangs",
        file: "device/src/supervisor.rs",
        from: "        let last = self.turned_at.min(self.polled_at);
        now.since(last) < Self::TURN_MS.into()",
        to: "        let last = self.turned_at.min(self.polled_at);
        now.since(last) < u64::MAX",
        expected: &["watchdog-by-progress"],
    },
    Patch {
        name: "supervisor-meddles",
        what: "a radio is ordered about although the broker answers",
        file: "device/src/supervisor.rs",
        from: "if contact || radio.heard",
        to: "if contact && radio.heard",
        expected: &["radio-left-alone"],
    },
    Patch {
        name: "supervisor-is-stubborn",
        what: "a deaf radio is told to join again, and nothing else",
        file: "device/src/supervisor.rs",
        from: "(false, _, true) if !self.orders.is_multiple_of(3) =>",
        to: "(false, _, true) =>",
        expected: &["help-by-degrees"],
    },
    Patch {
        name: "supervisor-begins-at-the-top",
        what: "a radio that is stuck is started again at once",
        file: "device/src/supervisor.rs",
        from: "(true, _, true) if !radio.unresponsive =>",
        to: "(true, _, true) if false =>",
        expected: &["help-by-degrees"],
    },
    Patch {
        name: "supervisor-waits-for-an-answer",
        what: "a radio that does not answer is no proof",
        file: "device/src/supervisor.rs",
        from: "radio.unresponsive || radio.joined && radio.blocked",
        to: "radio.joined && radio.blocked",
        expected: &["radio-helped"],
    },
];
