//! How many device-days a second of one core runs, and what they come to.
//!
//! The hash stands for everything that happened: a change that is to be faster, and nothing else,
//! leaves it as it is.

use std::time::Instant;

use aldis_world::{FaultSet, Plan, World};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        arguments
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (seed, devices, days) = (number(1), number(10), number(30));
    for faults in ["none", "all"] {
        let mut plan = Plan::new(seed, devices as u32, days * 86_400_000);
        plan.faults = faults.parse().unwrap_or(FaultSet::NONE);
        let begin = Instant::now();
        let report = World::new(plan).run(|_| true);
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "faults {faults}: {:.1} device-days in {seconds:.2} s, {:.1} a second, {} steps, run {:016x}, {:?}",
            report.device_days(),
            report.device_days() / seconds,
            report.steps,
            report.hash,
            report.counts,
        );
        if let Some(violation) = report.violation {
            println!("{violation}");
        }
    }
}
