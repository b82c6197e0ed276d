//! The connections: how many there are, and how long a client may take to ask and to take its answer.
//!
//! Owns: accepting, the limits below HTTP, and ending it all when the gateway stops. Refuses: what a request is held to
//! once it is there (`limits`).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Sleep,
};
use tower::Service;

use crate::{
    caller::{Proxies, network},
    limits::Limits,
    settlement::told,
};

/// How long nothing is accepted after the system had no more to give, such as open files.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves what connects until it is told to stop; then lets those finish that have asked for something.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    proxies: Arc<Proxies>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let crowd = Arc::new(Crowd { most: limits.connections_per_caller, callers: Mutex::default() });
    let mut connections = JoinSet::new();
    let next = async |connections: &mut JoinSet<()>| {
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        let (socket, from) = accept(&listener, connections).await;
        (place, socket, from)
    };
    loop {
        let (place, socket, from) = tokio::select! {
            () = told(&mut stop) => break,
            next = next(&mut connections) => next,
        };
        let counted = (!proxies.has(from.ip())).then(|| Crowd::enter(&crowd, network(from.ip())));
        if matches!(counted, Some(None)) {
            // More than its share: the socket is closed.
            continue;
        }
        let connection = one(socket, from, routes.clone(), limits, stop.clone());
        connections.spawn(async move {
            let _held = (place, counted);
            connection.await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next that connects; those that have ended are forgotten meanwhile.
async fn accept(listener: &TcpListener, connections: &mut JoinSet<()>) -> (TcpStream, SocketAddr) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // Gone before it was looked at.
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end. When it is told to stop, the request that was begun is the last.
async fn one(
    socket: TcpStream,
    from: SocketAddr,
    routes: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        routes.clone().call(request)
    });
    let socket = TokioIo::new(Prompt { socket, limit: limits.stall_time, stalled: None });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .serve_connection(socket, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection was cut off");
    }
}

/// How many connections each caller has.
#[derive(Debug)]
struct Crowd {
    most: usize,
    callers: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that is counted.
#[derive(Debug)]
struct Counted {
    crowd: Arc<Crowd>,
    caller: IpAddr,
}

impl Crowd {
    /// Counts a connection; none when its caller has as many as it may have.
    fn enter(crowd: &Arc<Self>, caller: IpAddr) -> Option<Counted> {
        let mut callers = crowd.callers.lock().expect("nobody panics while counting");
        let open = callers.entry(caller).or_default();
        // Whoever is refused has some that are open, so the entry goes with those.
        if *open >= crowd.most {
            return None;
        }
        *open += 1;
        Some(Counted { crowd: Arc::clone(crowd), caller })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut callers = self.crowd.callers.lock().expect("nobody panics while counting");
        if let Some(open) = callers.get_mut(&self.caller) {
            *open -= 1;
            if *open == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

/// A socket whose peer must take what is written to it: one that takes nothing for too long is cut off.
struct Prompt {
    socket: TcpStream,
    limit: Duration,
    /// Until when it is waited for, since the peer has stopped to take anything.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Prompt {
    /// What came of writing, unless that has waited for too long.
    fn in_time<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, into)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, parts);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
