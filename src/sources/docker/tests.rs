//! The source against a stand-in for Docker's API, which behaves as Docker does only in rare cases.
#![allow(clippy::disallowed_methods, reason = "a test touches files")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const OK: &str = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n";
const SOON: Duration = Duration::from_secs(5);

/// Number of events in a burst, and number of bursts.
const BURST: usize = 500;
const BURSTS: usize = 5;

/// What `/events` sends.
#[derive(Clone, Copy)]
enum Sends {
    /// One event after each of these intervals.
    Every(Duration),
    /// [`BURSTS`] bursts, and then nothing.
    Bursts,
}

/// Answers every question. Dropping it is `kill -9`: the socket's file stays.
struct Api(JoinHandle<()>);

impl Drop for Api {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn api(run: &Path, networks: impl Into<String>, sends: Sends) -> Api {
    api_with(run, networks, sends, &["[]"])
}

/// Like [`api`], but answers with these lists of containers, one after the other. It repeats the last one.
fn api_with(run: &Path, networks: impl Into<String>, sends: Sends, containers: &[&str]) -> Api {
    let containers: Vec<String> = containers.iter().rev().map(|list| format!("{OK}{list}")).collect();
    let containers = Arc::new(Mutex::new(containers));
    let socket = run.join("docker.sock");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    let networks = networks.into();
    Api(tokio::spawn(async move {
        // Aborting this task also drops the connections.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(answer(stream, networks.clone(), sends, Arc::clone(&containers)));
        }
    }))
}

async fn answer(
    stream: UnixStream,
    networks: String,
    sends: Sends,
    containers: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut question = String::new();
    stream.read_line(&mut question).await?;
    let mut header = String::new();
    while stream.read_line(&mut header).await? > 2 {}
    match question.split(['?', ' ']).nth(1) {
        Some("/version") => stream.write_all(format!("{OK}{{\"Version\":\"28.5.0\"}}").as_bytes()).await?,
        Some("/info") => stream.write_all(format!("{OK}{{}}").as_bytes()).await?,
        Some("/containers/json") => {
            let list = {
                let mut lists = containers.lock().unwrap();
                let last = lists[0].clone();
                if lists.len() > 1 { lists.pop().unwrap() } else { last }
            };
            stream.write_all(list.as_bytes()).await?;
        }
        Some("/networks") => stream.write_all(networks.as_bytes()).await?,
        Some("/events") => {
            stream.write_all(OK.as_bytes()).await?;
            const EVENT: &str = "{\"status\":\"create\"}\n";
            match sends {
                Sends::Every(period) => loop {
                    sleep(period).await;
                    stream.write_all(EVENT.as_bytes()).await?;
                },
                Sends::Bursts => {
                    for _ in 0..BURSTS {
                        stream.write_all(EVENT.repeat(BURST).as_bytes()).await?;
                        sleep(Duration::from_millis(200)).await;
                    }
                    std::future::pending::<()>().await;
                }
            }
        }
        _ => panic!("{question}"),
    }
    Ok(())
}

fn one_network() -> String {
    format!("{OK}[{{\"Name\":\"web\",\"Id\":\"0123456789abcdef\",\"Driver\":\"bridge\",\"Internal\":true}}]")
}

fn watched(run: &Path) -> mpsc::Receiver<Event> {
    let (events, received) = mpsc::channel(64);
    let run = run.to_owned();
    tokio::spawn(async move { watch_in(&run, events, Default::default()).await });
    received
}

async fn next(received: &mut mpsc::Receiver<Event>) -> Option<DockerView> {
    let event = timeout(SOON, received.recv()).await.unwrap().unwrap();
    let Event::Docker(view) = event else { panic!("{event:?}") };
    view
}

#[tokio::test]
async fn docker_starts_ends_and_starts_again() {
    let run = tempfile::tempdir().unwrap();
    let mut received = watched(run.path());
    sleep(Duration::from_millis(100)).await;
    assert!(received.try_recv().is_err(), "without Docker nothing is said");
    let first = api(run.path(), one_network(), Sends::Every(SOON));
    let view = next(&mut received).await.unwrap();
    assert_eq!((view.version.as_str(), view.networks.len()), ("28.5.0", 1));
    assert_eq!(view.networks[0].bridge.as_ref().map(ToString::to_string).as_deref(), Some("br-0123456789ab"));
    assert!(view.networks[0].internal);
    drop(first);
    assert_eq!(next(&mut received).await, None);
    let _second = api(run.path(), format!("{OK}[]"), Sends::Every(SOON));
    assert_eq!(next(&mut received).await.unwrap().networks, []);
}

#[tokio::test]
async fn a_burst_of_events_causes_one_reading() {
    let run = tempfile::tempdir().unwrap();
    let _api = api(run.path(), one_network(), Sends::Bursts);
    let mut received = watched(run.path());
    let mut looks = 0;
    while let Ok(Some(_)) = timeout(Duration::from_secs(2), received.recv()).await {
        looks += 1;
    }
    // The first reading, and two for each burst: one for its start, and one for the events during that
    // reading.
    assert!((2..=1 + 2 * BURSTS).contains(&looks), "{looks} looks after {} events", BURSTS * BURST);
}

#[tokio::test]
async fn malformed_answers_of_docker_are_never_reported() {
    let long = format!("HTTP/1.0 200 OK\r\nX: {}\r\n\r\n[]", "x".repeat(1 << 20));
    let large = format!("{OK}[\"{}\"]", "x".repeat(9 << 20));
    for bad in [
        "",
        "\r\n\r\n",
        "HTTP/1.0 500 Internal Server Error\r\n\r\n{}",
        "HTTP/2 200 OK\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n\r\n[{\"Name\":",
        &long,
        &large,
    ] {
        let run = tempfile::tempdir().unwrap();
        let _api = api(run.path(), bad, Sends::Every(SOON));
        let mut received = watched(run.path());
        sleep(Duration::from_millis(300)).await;
        assert!(received.try_recv().is_err(), "{:.60}", bad);
    }
}

#[tokio::test]
async fn a_socket_that_systemd_holds_is_left_alone_until_docker_runs() {
    let run = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(run.path().join("systemd/system")).unwrap();
    let listener = UnixListener::bind(run.path().join("docker.sock")).unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let _received = watched(run.path());
    std::fs::write(run.path().join("docker.pid.new"), "0").unwrap();
    sleep(Duration::from_millis(500)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 0, "a connection would start Docker");
    std::fs::write(run.path().join("docker.pid.new"), std::process::id().to_string()).unwrap();
    std::fs::rename(run.path().join("docker.pid.new"), run.path().join("docker.pid")).unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(asked.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_container_that_ends_while_docker_is_asked_keeps_no_name() {
    let run = tempfile::tempdir().unwrap();
    let (first, later) = ("0123456789ab", "ba9876543210");
    let list = |id: &str| format!(r#"[{{"Id":"{id}cdef","Names":["/web"],"Image":"nginx"}}]"#);
    let (whole, next) = (list(first), list(later));
    // Docker ends its answer in the middle.
    let _api = api_with(
        run.path(),
        one_network(),
        Sends::Every(Duration::from_millis(100)),
        &[&whole, &whole[..40], &next],
    );
    let (events, mut received) = mpsc::channel(64);
    let containers = watch::Sender::<Containers>::default();
    let mut named = containers.subscribe();
    let folder = run.path().to_owned();
    tokio::spawn(async move { watch_in(&folder, events, containers).await });
    tokio::spawn(async move { while received.recv().await.is_some() {} });
    for (id, why) in
        [(Some(first), "listed"), (None, "an answer that ends early"), (Some(later), "listed again")]
    {
        let has_ids = |now: &Containers| now.ids.keys().map(String::as_str).eq(id);
        timeout(SOON, named.wait_for(has_ids)).await.expect(why).unwrap();
    }
}
