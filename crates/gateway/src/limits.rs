//! What every request is held to before anything is done for it: an id, a size, a time, a rate and a number at once.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, Request, State},
    http::HeaderValue,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;

use crate::{caller::Proxies, problem::Problem};

/// The header of a request's id.
const REQUEST_ID: &str = "x-request-id";

/// How many callers' rates are remembered; with more, those that were quiet longest are forgotten.
const CALLERS_MAX: usize = 100_000;

/// What requests are held to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// The longest that a request may take, from its head to the end of its answer's head.
    pub time: Duration,
    /// Requests a second and caller, in the long run.
    pub rate_per_s: f64,
    /// Requests at once above the rate.
    pub burst: f64,
    /// Requests in work over all callers.
    pub concurrency: usize,
    /// Requests in work for one caller.
    pub concurrency_per_caller: usize,
    /// Connections that are open; others wait to be accepted.
    pub connections: usize,
    /// Connections of one caller; others are closed. A trusted proxy may have all.
    pub connections_per_caller: usize,
    /// The longest that a connection may take to the end of a request's head, from its beginning or from the answer
    /// before: so also how long it may be idle.
    pub head_time: Duration,
    /// The longest that a client may take nothing of its answer.
    pub stall_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            // More than a payment is waited for, so that whoever waits is told what for.
            time: Duration::from_secs(150),
            rate_per_s: 5_000.0,
            burst: 10_000.0,
            concurrency: 1_024,
            concurrency_per_caller: 256,
            // Below the 1,024 files that a process may usually open, some of which the log and the ledger need.
            connections: 768,
            connections_per_caller: 256,
            head_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(30),
        }
    }
}

tokio::task_local! {
    static ID: String;
}

/// The id of the request that this task works on.
pub(crate) fn request_id() -> Option<String> {
    ID.try_with(Clone::clone).ok()
}

/// The keeper of the limits.
#[derive(Debug)]
struct Gate {
    limits: Limits,
    proxies: Arc<Proxies>,
    places: Arc<Semaphore>,
    callers: Mutex<HashMap<IpAddr, Bucket>>,
}

/// What is left of a caller's rate.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
    /// Requests in work.
    working: usize,
}

/// A caller's request in work.
#[derive(Debug)]
struct Working {
    gate: Arc<Gate>,
    caller: IpAddr,
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(bucket) =
            self.gate.callers.lock().expect("nobody panics while counting").get_mut(&self.caller)
        {
            bucket.working = bucket.working.saturating_sub(1);
        }
    }
}

/// Holds all routes to the limits.
pub(crate) fn hold(routes: Router, limits: Limits, proxies: Arc<Proxies>) -> Router {
    let gate = Arc::new(Gate::new(limits, proxies));
    routes
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(middleware::from_fn_with_state(gate, pass))
        .layer(middleware::from_fn(name))
}

/// Gives the request an id, the caller's own if that is a plain word, and the answer the same.
async fn name(request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let id = given.filter(plain).map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned);
    let header = HeaderValue::from_str(&id).expect("letters, digits and hyphens are a header value");
    let mut response = ID.scope(id, next.run(request)).await;
    response.headers_mut().insert(REQUEST_ID, header);
    response
}

/// Lets the request pass when there is room for it.
async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(from)| from.ip());
    let caller = from.map(|from| gate.proxies.caller(from, request.headers()));
    if let Some(pause) = caller.and_then(|caller| gate.too_fast(caller, Instant::now())) {
        let rate = gate.limits.rate_per_s;
        let detail =
            format!("expected at most {rate} requests a second from one address, found more; slow down");
        return Problem::too_many(detail, pause).into_response();
    }
    let working = caller.map(|caller| Gate::begin(&gate, caller));
    if matches!(working, Some(None)) {
        let most = gate.limits.concurrency_per_caller;
        let detail =
            format!("expected at most {most} requests at once from one address, found as many in work");
        return Problem::too_many(detail, Duration::from_secs(1)).into_response();
    }
    let Ok(_place) = gate.places.clone().try_acquire_owned() else {
        let detail = "expected fewer requests at once, found as many as are worked on; try again in a moment";
        return Problem::unavailable(detail, Duration::from_secs(1)).into_response();
    };
    match tokio::time::timeout(gate.limits.time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail =
                format!("expected it to be done in {} s, found it unfinished", gate.limits.time.as_secs());
            Problem::timeout(detail).into_response()
        }
    }
}

impl Gate {
    fn new(limits: Limits, proxies: Arc<Proxies>) -> Self {
        let places = Arc::new(Semaphore::new(limits.concurrency));
        Self { limits, proxies, places, callers: Mutex::new(HashMap::new()) }
    }

    /// Counts a request of a caller whose rate was looked at; none when it has too many in work.
    fn begin(gate: &Arc<Self>, caller: IpAddr) -> Option<Working> {
        let mut callers = gate.callers.lock().expect("nobody panics while counting");
        let bucket = callers.get_mut(&caller)?;
        if bucket.working >= gate.limits.concurrency_per_caller {
            return None;
        }
        bucket.working += 1;
        Some(Working { gate: Arc::clone(gate), caller })
    }

    /// How long the caller must wait, if its rate is used up.
    fn too_fast(&self, caller: IpAddr, now: Instant) -> Option<Duration> {
        let Limits { rate_per_s, burst, .. } = self.limits;
        let mut callers = self.callers.lock().expect("nobody panics while counting");
        if callers.len() >= CALLERS_MAX && !callers.contains_key(&caller) {
            // Whoever has a full bucket again is as good as new.
            let full = Duration::from_secs_f64(burst / rate_per_s);
            callers.retain(|_, bucket| bucket.working > 0 || now.duration_since(bucket.at) < full);
            if callers.len() >= CALLERS_MAX {
                return Some(full);
            }
        }
        let bucket = callers.entry(caller).or_insert(Bucket { tokens: burst, at: now, working: 0 });
        let since = now.duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * rate_per_s).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Some(Duration::from_secs_f64((1.0 - bucket.tokens) / rate_per_s));
        }
        bucket.tokens -= 1.0;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_requests_in_work() {
        let limits = Limits { concurrency_per_caller: 2, ..Limits::default() };
        let gate = Arc::new(Gate::new(limits, Arc::default()));
        let one = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(gate.too_fast(one, Instant::now()), None);
        let first = Gate::begin(&gate, one).unwrap();
        let _second = Gate::begin(&gate, one).unwrap();
        assert!(Gate::begin(&gate, one).is_none());
        drop(first);
        assert!(Gate::begin(&gate, one).is_some());
    }

    #[test]
    fn a_caller_has_a_burst_and_then_a_rate_and_others_have_theirs() {
        let limits = Limits { rate_per_s: 10.0, burst: 3.0, ..Limits::default() };
        let gate = Gate::new(limits, Arc::default());
        let (one, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(gate.too_fast(one, start), None);
        }
        let pause = gate.too_fast(one, start).unwrap();
        assert!(pause <= Duration::from_millis(100) && pause > Duration::from_millis(90), "{pause:?}");
        assert_eq!(gate.too_fast(other, start), None);
        assert_eq!(gate.too_fast(one, start + Duration::from_millis(101)), None);
        assert!(gate.too_fast(one, start + Duration::from_millis(101)).is_some());
    }
}
