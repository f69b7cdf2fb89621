//! WASI 0.2, for toolchains that require it: everything links, and nothing but `wasi:http` grants
//! access.
//!
//! `wasi:http` sends requests that the operator allowed. There are no arguments, environment
//! variables, files or sockets, and output is discarded. Both clocks show the civil time of the
//! handling and stand still; random numbers are the handling's.

use super::inputs::Inputs;
use super::requests::Requests;
use super::wasi_http::Outgoing;
use crate::limits;
use rand_core::TryRng;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

/// Created at the first call: most plugins in Rust make none.
pub struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    outgoing: Outgoing,
}

impl Wasi {
    pub fn new(inputs: &Arc<Inputs>, requests: &Arc<Requests>) -> Self {
        let ctx = WasiCtx::builder()
            .wall_clock(Clock(Arc::clone(inputs)))
            .monotonic_clock(Clock(Arc::clone(inputs)))
            .secure_random(Random(Arc::clone(inputs)))
            .insecure_random(Random(Arc::clone(inputs)))
            .insecure_random_seed(0)
            .max_random_size(limits::HOSTCALL_BYTES as u64)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits::HTTP_FIELDS_BYTES);
        Self { ctx, table, http, outgoing: Outgoing(Arc::clone(requests)) }
    }

    pub fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }

    pub fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Both clocks of WASI.
struct Clock(Arc<Inputs>);

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

/// The random numbers of the handling.
struct Random(Arc<Inputs>);

impl TryRng for Random {
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
