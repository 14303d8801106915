//! stub
#![no_std]
#![no_main]
bench_size::state!(client: 0, future: 0);
bench_size::entry!(run);
fn run(){}
