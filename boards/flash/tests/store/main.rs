//! The store, on a flash whose power goes at any moment.

mod mail;
mod readings;
mod wear;

use aldis_device::Recent;
use aldis_flash::store::Store;
use aldis_protocol::Reading;
use aldis_world::flash::{Cut, Flash};
use embassy_futures::block_on;
use sequential_storage::cache::Cache;
use sequential_storage::map::{MapConfig, MapStorage};

/// Small pages fill up soon: eighteen records each.
type Small = Flash<PAGE>;
const PAGE: usize = 512;
const PAGES: usize = 12;
const END: u32 = (PAGES * PAGE) as u32;

fn open(flash: &mut Small) -> Store<&mut Small> {
    Store::new(flash, 0..END).unwrap()
}

fn reading(seq: u32) -> Reading {
    Reading {
        t: seq as i16,
        h: (seq % 1_000) as u16,
    }
}

/// A store in all of a flash.
fn whole<const PAGE: usize>(flash: &mut Flash<PAGE>) -> Store<&mut Flash<PAGE>> {
    let end = (flash.erased().len() * PAGE) as u32;
    Store::new(flash, 0..end).unwrap()
}

/// A command with an id was done, or not to its end.
fn command(recent: &mut Recent, id: u64) {
    let at = usize::from(recent.next);
    recent.ids[at] = id.max(1);
    recent.failed = recent.failed & !(1 << at) | (id as u16 & 1) << at;
    recent.next = ((at + 1) % Recent::LEN) as u8;
}

/// The ways in which an operation can end when power goes.
fn cuts(random: &mut fastrand::Rng) -> Vec<Cut> {
    let mut cuts = vec![Cut::Before, Cut::After];
    cuts.extend((0..4).map(|_| Cut::Within(random.u64(..))));
    cuts
}

/// An entry of the map, as another program wrote it.
fn put_entry(flash: &mut Flash<4096>, part: std::ops::Range<u32>, key: u8, entry: &[u8]) {
    let config = MapConfig::<&mut Flash<4096>>::try_new(part).unwrap();
    let mut map = MapStorage::new(flash, config, Cache::new_uncached());
    let mut buffer = [0; 512];
    block_on(map.store_item(&mut buffer, &key, &entry)).unwrap();
}
