//! WASI for tool-chains that cannot do without: all of 0.2 is there, and none of it gives anything.
//!
//! No arguments, no environment, no files, no sockets; what is printed goes nowhere. Its clocks show the handling's
//! civil time and stand still, its randomness is the handling's own.

use super::{HostState, Senses};
use crate::limits;
use rand_core::TryRng;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

/// Made when something of it is first called: most plugins in Rust never do.
pub struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    fn new(senses: &Arc<Senses>) -> Self {
        let ctx = WasiCtx::builder()
            .wall_clock(Clock(Arc::clone(senses)))
            .monotonic_clock(Clock(Arc::clone(senses)))
            .secure_random(Chance(Arc::clone(senses)))
            .insecure_random(Chance(Arc::clone(senses)))
            .insecure_random_seed(0)
            .max_random_size(limits::HOSTCALL_BYTES as u64)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES);
        Self { ctx, table }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.senses)));
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

/// Both of WASI's clocks.
struct Clock(Arc<Senses>);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.now().as_ms()).unwrap_or(0))
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.now().as_ms()).unwrap_or(0).saturating_mul(1_000_000)
    }
}

/// The handling's randomness.
struct Chance(Arc<Senses>);

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.random(TryRng::try_next_u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.random(TryRng::try_next_u64)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.random(|stream| stream.try_fill_bytes(out))
    }
}
