//! How the hub is, put together.

use crate::shared::Shared;
use crate::view::{BrokerHealth, DashboardHealth, DiskHealth, Health, StoreHealth};

/// Looks at everything.
pub(crate) fn look(shared: &Shared) -> Health {
    let machine = shared.vitals.machine();
    let contact = shared.contact();
    let counted = shared.sizes().clone();
    let (sizes, error) = match counted.map(|counted| counted.sizes) {
        Some(Ok(sizes)) => (Some(sizes), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    Health {
        version: env!("CARGO_PKG_VERSION"),
        started_ms: shared.started_ms,
        now_ms: shared.now(),
        memory_bytes: machine.memory_bytes,
        cpu_percent: machine
            .cpu_percent
            .map(|percent| (percent * 10.0).round() / 10.0),
        broker: BrokerHealth {
            connected: contact.connected,
            url: shared.broker_url.clone(),
            since_ms: contact.since_ms,
        },
        recorder: shared.vitals.recorder(),
        store: StoreHealth {
            kind: match shared.history.name().starts_with("postgres") {
                true => "postgres",
                false => "sqlite",
            },
            readings: sizes.map(|sizes| sizes.readings),
            bytes: sizes.map(|sizes| sizes.bytes),
            oldest_ms: shared.model().oldest_ms(),
            error,
        },
        disk: DiskHealth {
            free_bytes: machine.free_bytes,
        },
        dashboard: DashboardHealth {
            live_clients: shared.stage.listeners(),
        },
    }
}
