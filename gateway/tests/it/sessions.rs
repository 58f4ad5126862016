//! Browser sessions and tickets: signing in and out, what a cookie is good for, how a device ends.

use std::net::SocketAddr;
use std::time::Duration;

use adjutant::http::router::{Auth, ROUTES};
use adjutant_core::limits;
use adjutant_core::scope::Role;
use futures::StreamExt as _;
use http::header::SET_COOKIE;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;

use crate::replicas::{beside, beside_at};
use crate::server::{Answer, KEY, NewKey, TestServer, answer};
use crate::ws_support::Client;

const WITHIN: Duration = Duration::from_secs(1);
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0";

/// A browser that is signed in.
struct Browser<'a> {
    server: &'a TestServer,
    /// `adjutant=…`
    cookie: String,
    id: String,
}

impl<'a> Browser<'a> {
    async fn sign_in(server: &'a TestServer, key: &str) -> Self {
        let request = server.request("POST", "/api/session").header("x-api-key", key).header("user-agent", FIREFOX);
        let (answer, headers) = with_headers(request).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let cookie = headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { server, cookie, id: answer.body["device"]["id"].as_str().unwrap().to_owned() }
    }

    fn bare(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.server.request(method, path).header("cookie", &self.cookie)
    }

    /// As a page of ours asks.
    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let own = format!("http://{}", self.server.address);
        self.bare(method, path).header("origin", own).header("sec-fetch-site", "same-origin")
    }

    async fn ticket(&self) -> String {
        let answer = answer(self.request("POST", "/api/ticket")).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["ticket"].as_str().unwrap().to_owned()
    }
}

async fn with_headers(request: reqwest::RequestBuilder) -> (Answer, HeaderMap) {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let content_type = headers.get("content-type").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)), content_type }, headers)
}

async fn open(server: &TestServer, ticket: &str) -> Result<Client, u16> {
    open_at(server.address, ticket).await
}

async fn open_at(address: SocketAddr, ticket: &str) -> Result<Client, u16> {
    open_from(address, &format!("/ws?ticket={ticket}"), &format!("http://{address}")).await
}

async fn open_from(address: SocketAddr, path: &str, origin: &str) -> Result<Client, u16> {
    match Client::try_open(address, path, &[("origin", origin)]).await {
        Ok(client) => Ok(client),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_browser_swaps_its_key_for_a_cookie_and_signs_out() {
    let server = TestServer::start().await;
    let request = server.request("POST", "/api/session").bearer_auth(KEY).header("user-agent", FIREFOX);
    let (signed_in, headers) = with_headers(request).await;
    assert_eq!(signed_in.status, 201, "{signed_in:?}");
    let cookie = headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("adjutant=adj_"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=34560000"), "{cookie}");
    assert_eq!(headers["cache-control"], "no-store");
    let mut who = signed_in.body.clone();
    assert_eq!(who["device"]["label"], "Firefox on Linux");
    who["device"] = Value::Null;
    let expected = json!({"user": "owner", "profile": "personal", "anyProfile": true, "role": "admin",
        "operatorLlm": true, "device": null});
    assert_eq!(who, expected);
    assert_eq!(server.get("/api/session", KEY).await.body, expected, "a key has no device");

    let browser = Browser {
        server: &server,
        cookie: cookie.split(';').next().unwrap().to_owned(),
        id: signed_in.body["device"]["id"].as_str().unwrap().to_owned(),
    };
    assert_eq!(answer(browser.bare("GET", "/api/session")).await.body, signed_in.body);
    assert_eq!(answer(browser.bare("GET", "/api/threads")).await.status, 200);
    let devices = answer(browser.bare("GET", "/api/devices")).await.body;
    assert_eq!(devices, json!({"items": [signed_in.body["device"]], "next": null}));

    let (out, headers) = with_headers(browser.request("DELETE", "/api/session")).await;
    assert_eq!(out.status, 204);
    assert_eq!(headers["clear-site-data"], "\"cache\", \"storage\"");
    assert_eq!(headers[SET_COOKIE], "adjutant=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    answer(browser.bare("GET", "/api/threads")).await.is_problem(401, "unauthorized", "signed out");
    let (who, headers) = with_headers(browser.bare("GET", "/api/session")).await;
    who.is_problem(401, "unauthorized", "signed out");
    assert!(headers[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"), "it may forget the cookie");
    assert!(!headers.contains_key("clear-site-data"), "what was being written stays: {headers:?}");
    answer(server.request("DELETE", "/api/session").bearer_auth(KEY)).await.is_problem(409, "no_session", "a key");
    assert!(!browser.id.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn only_hashes_of_cookies_and_tickets_are_stored() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, KEY).await;
    let (ticket, secret) = (browser.ticket().await, browser.cookie.strip_prefix("adjutant=").unwrap());
    let admin = server.db.admin();
    let rows: Vec<String> =
        sqlx::query_scalar("select row(d.*)::text from device_keys d union all select row(t.*)::text from tickets t")
            .fetch_all(&admin)
            .await
            .unwrap();
    assert_eq!(rows.len(), 2);
    let hash = |text: &str| hex::encode(adjutant::auth::key::digest(text));
    assert!(rows[0].contains(&hash(secret)) && rows[1].contains(&hash(&ticket)), "{rows:?}");
    assert!(!rows.concat().contains(secret) && !rows.concat().contains(&ticket));
    server.stop().await;
}

#[tokio::test]
async fn a_cookie_and_a_key_do_not_stand_in_for_each_other() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, KEY).await;
    let secret = browser.cookie.strip_prefix("adjutant=").unwrap();
    let refused = [
        ("a device key in a header", server.request("GET", "/api/threads").header("x-api-key", secret)),
        ("a key as a cookie", server.request("GET", "/api/threads").header("cookie", format!("adjutant={KEY}"))),
        ("beside a wrong key", browser.request("GET", "/api/threads").header("x-api-key", "wrong")),
        ("beside an empty key", browser.request("GET", "/api/threads").header("x-api-key", "")),
        ("beside another scheme", browser.request("GET", "/api/threads").basic_auth("a", Some("b"))),
        ("beside itself and another", browser.request("GET", "/api/threads").header("cookie", "adjutant=other")),
        ("at another door", browser.request("GET", "/v1/models")),
        ("for a further session", browser.request("POST", "/api/session")),
    ];
    for (what, request) in refused {
        answer(request).await.is_refused(
            401,
            if what == "at another door" { "invalid_api_key" } else { "unauthorized" },
            what,
        );
    }
    let own = format!("http://{}", server.address);
    let headers = [("cookie", browser.cookie.as_str()), ("origin", own.as_str())];
    let upgrade = Client::try_open(server.address, "/ws", &headers);
    assert!(matches!(upgrade.await, Err(Error::Http(response)) if response.status() == 401));
    assert_eq!(answer(browser.request("GET", "/api/threads").bearer_auth(KEY)).await.status, 200, "the key counts");
    server.stop().await;
}

/// Every wrong, empty or repeated cookie or ticket is 401, on every route.
#[tokio::test]
async fn wrong_cookies_open_no_route() {
    let wrong = format!("adjutant={WRONG}{}", "0".repeat(72));
    let cookies = ["adjutant=", "adjutant=x; adjutant=y", "__Host-adjutant=x", &wrong];
    nothing_opens(&cookies.map(|cookie| (String::new(), Some(cookie.to_owned())))).await;
}

#[tokio::test]
async fn wrong_tickets_open_no_route() {
    let wrong = format!("ticket={WRONG}{}", "0".repeat(72));
    let tickets = ["ticket=", "ticket=x", "ticket=x&ticket=x", &wrong];
    nothing_opens(&tickets.map(|ticket| (format!("?{ticket}"), None))).await;
}

const WRONG: &str = "adj_0123456789_";

/// Tries each query and cookie at every route that wants to know who asks.
async fn nothing_opens(attempts: &[(String, Option<String>)]) {
    // Each try from an address of its own, so that the limiter has no say.
    let server = TestServer::start_with(&[("ADJUTANT_BEHIND_PROXY", "true")]).await;
    let mut tries = 0;
    let mut from = |request: reqwest::RequestBuilder| {
        tries += 1;
        let own = format!("http://{}", server.address);
        request.header("x-forwarded-for", format!("10.0.{}.{}", tries / 250, tries % 250)).header("origin", own)
    };
    let mut asked = Vec::new();
    for route in ROUTES.iter().filter(|route| route.auth != Auth::None) {
        let path = route.path.replace("{id}", &adjutant_core::ids::RunId::new().to_string());
        for (query, cookie) in attempts {
            let mut request = server.request(route.method.as_str(), &format!("{path}{query}"));
            if let Some(cookie) = cookie {
                request = request.header("cookie", cookie);
            }
            asked.push((format!("{} {path}{query} with {cookie:?}", route.method), from(request)));
        }
    }
    // Many at once: one after the other they are too many for the time a test has.
    let refused = futures::stream::iter(asked).for_each_concurrent(16, async |(about, request)| {
        let answer = answer(request).await;
        assert_eq!(answer.status, 401, "{about}: {answer:?}");
    });
    refused.await;
    server.stop().await;
}

#[tokio::test]
async fn with_a_cookie_only_our_own_pages_change_anything() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, KEY).await;
    let own = format!("http://{}", server.address);
    let keyed = |route: &&adjutant::http::router::Route| route.path.starts_with("/api/") && route.auth == Auth::Key;
    for route in ROUTES.iter().filter(keyed) {
        let path = route.path.replace("{id}", &adjutant_core::ids::RunId::new().to_string());
        let ask = || browser.bare(route.method.as_str(), &path).header("accept", "application/json");
        let about = format!("{} {}", route.method, route.path);
        answer(ask().header("origin", "https://evil.example")).await.is_problem(403, "origin_not_allowed", &about);
        answer(ask().header("sec-fetch-site", "cross-site")).await.is_refused(
            403,
            if route.method == Method::GET { "origin_not_allowed" } else { "origin_missing" },
            &about,
        );
        if route.method != Method::GET {
            answer(ask()).await.is_problem(403, "origin_missing", &about);
            let other_site = ask().header("origin", &own).header("sec-fetch-site", "same-site");
            answer(other_site).await.is_problem(403, "origin_not_allowed", &about);
        }
    }
    assert_eq!(answer(browser.bare("GET", "/api/session")).await.status, 200, "it is still signed in");
    server.stop().await;
}

#[tokio::test]
async fn a_device_has_the_rights_of_its_key_and_claims_no_others() {
    let server = TestServer::start().await;
    let work = server.key("anna", "work", Role::Personal).await;
    for body in [json!({"role": "admin"}), json!({"label": "x", "profile": "personal"}), json!({"user": "owner"})] {
        let request = server.request("POST", "/api/session").header("x-api-key", &work.secret).json(&body);
        answer(request).await.is_problem(400, "invalid_body", "a claim");
    }
    let browser = Browser::sign_in(&server, &work.secret).await;
    let who = answer(browser.bare("GET", "/api/session")).await.body;
    assert_eq!((&who["user"], &who["profile"], &who["role"]), (&json!("anna"), &json!("work"), &json!("personal")));
    let other = browser.bare("GET", "/api/threads").header("x-profile", "personal");
    answer(other).await.is_problem(403, "profile_not_allowed", "another profile");
    server.stop().await;
}

#[tokio::test]
async fn a_device_dies_with_its_key_everywhere_within_a_second() {
    let server = TestServer::start().await;
    let second = beside(&server, &[]).await;
    let key = server.key("anna", "personal", Role::Personal).await;
    let browser = Browser::sign_in(&server, &key.secret).await;
    let mut socket = open(&server, &browser.ticket().await).await.unwrap();
    assert_eq!(socket.arrived().await, [] as [Value; 0]);
    let device = adjutant::auth::key::digest(browser.cookie.strip_prefix("adjutant=").unwrap());
    let device = adjutant::auth::presented::Credential::Device(device);
    let there = second.keys().identify(&device).await.unwrap().unwrap();
    let told = second.keys().until_ended(&there);
    let unused = browser.ticket().await;

    server.revoke(&key).await;
    timeout(WITHIN, told).await.expect("the other replica knows within a second");
    assert!(second.keys().identify(&device).await.unwrap().is_none());
    assert_eq!(timeout(WITHIN, socket.try_next()).await.expect("within a second"), Err(4001));
    answer(browser.bare("GET", "/api/threads")).await.is_problem(401, "unauthorized", "the cookie");
    assert_eq!(open(&server, &unused).await.err(), Some(401), "the ticket");
    second.supervisor().stop().await;
    server.stop().await;
}

#[tokio::test]
async fn signing_a_device_out_ends_it_and_nothing_else() {
    let server = TestServer::start().await;
    let (phone, laptop) = (Browser::sign_in(&server, KEY).await, Browser::sign_in(&server, KEY).await);
    let mut of_phone = open(&server, &phone.ticket().await).await.unwrap();
    let mut of_laptop = open(&server, &laptop.ticket().await).await.unwrap();
    assert_eq!(of_phone.arrived().await, [] as [Value; 0]);
    let out = answer(laptop.request("DELETE", &format!("/api/devices/{}", phone.id))).await;
    assert_eq!(out.status, 204);
    assert_eq!(timeout(WITHIN, of_phone.try_next()).await.expect("within a second"), Err(4001));
    assert_eq!(answer(phone.bare("GET", "/api/threads")).await.status, 401);
    assert_eq!(of_laptop.arrived().await, [] as [Value; 0]);
    assert_eq!(answer(laptop.bare("GET", "/api/threads")).await.status, 200);
    let again = laptop.request("DELETE", &format!("/api/devices/{}", phone.id));
    answer(again).await.is_problem(404, "not_found", "again");
    answer(laptop.request("DELETE", "/api/devices/no%20id")).await.is_problem(400, "invalid_id", "no id");
    server.stop().await;
}

#[tokio::test]
async fn devices_of_another_profile_and_another_user_are_unknown() {
    let server = TestServer::start().await;
    let keys: Vec<NewKey> = vec![
        server.key("anna", "personal", Role::Personal).await,
        server.key("anna", "work", Role::Personal).await,
        server.key("ben", "*", Role::Admin).await,
    ];
    let annas = Browser::sign_in(&server, &keys[0].secret).await;
    for stranger in &keys[1..] {
        assert_eq!(server.get("/api/devices", &stranger.secret).await.body["items"], json!([]));
        let take =
            server.request("DELETE", &format!("/api/devices/{}", annas.id)).header("x-api-key", &stranger.secret);
        answer(take).await.is_problem(404, "not_found", "a stranger");
    }
    let all = server.key("anna", "*", Role::Personal).await;
    let known = server.get("/api/devices", &all.secret).await.body;
    assert_eq!((&known["items"][0]["id"], &known["items"][0]["profile"]), (&json!(annas.id), &json!("personal")));
    assert_eq!(answer(annas.bare("GET", "/api/threads")).await.status, 200, "untouched");
    server.stop().await;
}

#[tokio::test]
async fn a_new_session_replaces_the_one_of_the_same_browser_and_the_bound_holds() {
    let server = TestServer::start().await;
    let first = Browser::sign_in(&server, KEY).await;
    let request = first.request("POST", "/api/session").header("x-api-key", KEY).json(&json!({"label": "my laptop"}));
    let (second, _) = with_headers(request).await;
    assert_eq!((second.status, &second.body["device"]["label"]), (201, &json!("my laptop")));
    assert_eq!(answer(first.bare("GET", "/api/threads")).await.status, 401);
    let admin = server.db.admin();
    sqlx::query(
        "insert into device_keys (device_id, key_hash, user_id, key_id, label, last_used)
         select 'filler' || n, decode(lpad(to_hex(n), 64, '0'), 'hex'), 'owner', (select key_id from api_keys), '',
                now() - n * interval '1 minute' from generate_series(1, $1) n",
    )
    .bind(limits::DEVICES - 1)
    .execute(&admin)
    .await
    .unwrap();
    let last = Browser::sign_in(&server, KEY).await;
    let left: Vec<String> = sqlx::query_scalar("select device_id from device_keys").fetch_all(&admin).await.unwrap();
    assert_eq!(left.len(), usize::try_from(limits::DEVICES).unwrap());
    assert!(left.contains(&last.id) && !left.contains(&format!("filler{}", limits::DEVICES - 1)));
    server.stop().await;
}

#[tokio::test]
async fn a_device_that_is_unused_too_long_is_signed_out() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, KEY).await;
    let age = async |days: f64| {
        let old = "update device_keys set last_used = now() - $1 * interval '1 day'";
        sqlx::query(old).bind(days).execute(&server.db.admin()).await.unwrap();
        server.app.keys().note_change(&browser.id);
    };
    age(29.9).await;
    assert_eq!(answer(browser.bare("GET", "/api/threads")).await.status, 200);
    let used: bool = sqlx::query_scalar("select last_used > now() - interval '1 minute' from device_keys")
        .fetch_one(&server.db.admin())
        .await
        .unwrap();
    assert!(used, "using it keeps it");
    age(30.1).await;
    assert_eq!(answer(browser.bare("GET", "/api/threads")).await.status, 401);
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_opens_one_socket_for_its_profile_on_any_replica() {
    let server = TestServer::start().await;
    let (second, there) = beside_at(&server, &[]).await;
    let all = server.key("anna", "*", Role::Personal).await;
    // Makes the profile.
    server.key("anna", "work", Role::Personal).await;
    let browser = Browser::sign_in(&server, &all.secret).await;
    let made = answer(browser.request("POST", "/api/ticket").header("x-profile", "work")).await;
    assert_eq!((&made.body["profile"], &made.body["expiresInSeconds"]), (&json!("work"), &json!(30)));
    let ticket = made.body["ticket"].as_str().unwrap();
    let mut socket = open_at(there, ticket).await.unwrap();
    assert_eq!(socket.arrived().await, [] as [Value; 0]);
    assert_eq!(open(&server, ticket).await.err(), Some(401), "a second use");
    assert_eq!(open_at(there, ticket).await.err(), Some(401), "a second use");

    let of_personal = browser.ticket().await;
    let own = format!("http://{}", server.address);
    let path = format!("/ws?ticket={of_personal}&profile=work");
    assert_eq!(open_from(server.address, &path, &own).await.err(), Some(403), "another profile");
    assert_eq!(open(&server, &of_personal).await.err(), Some(401), "it was used up by that");

    // A key makes tickets too; nothing but a page of ours uses them.
    let by_key = answer(server.request("POST", "/api/ticket").bearer_auth(KEY)).await;
    let path = format!("/ws?ticket={}", by_key.body["ticket"].as_str().unwrap());
    assert_eq!(open_from(server.address, &path, "https://evil.example").await.err(), Some(403));
    let without_origin = Client::try_open(server.address, &path, &[]).await;
    assert!(matches!(without_origin, Err(Error::Http(response)) if response.status() == 403));
    assert!(open_from(server.address, &path, &own).await.is_ok(), "a refused page did not use it up");
    second.supervisor().stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_is_good_for_half_a_minute_and_not_without_end() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, KEY).await;
    let old = browser.ticket().await;
    let life: f64 = sqlx::query_scalar("select extract(epoch from expires_at - now())::float8 from tickets")
        .fetch_one(&server.db.admin())
        .await
        .unwrap();
    assert!((15.0..=30.0).contains(&life), "{life}");
    sqlx::raw_sql("update tickets set expires_at = now()").execute(&server.db.admin()).await.unwrap();
    assert_eq!(open(&server, &old).await.err(), Some(401));
    for _ in 0..limits::TICKETS {
        browser.ticket().await;
    }
    let more = answer(browser.request("POST", "/api/ticket")).await;
    more.is_problem(429, "too_many_tickets", "one more");
    server.stop().await;
}

#[tokio::test]
async fn guesses_of_cookies_and_tickets_are_held_off_and_known_ones_pass() {
    let server = TestServer::start().await;
    let browser = Browser::sign_in(&server, KEY).await;
    let good = browser.ticket().await;
    assert_eq!(answer(browser.bare("GET", "/api/threads")).await.status, 200);
    for guess in 0..limits::WRONG_KEYS / 2 {
        let cookie = server.request("GET", "/api/threads").header("cookie", format!("adjutant=guess-{guess}"));
        assert_eq!(answer(cookie).await.status, 401);
        assert_eq!(open(&server, &format!("guess-{guess}")).await.err(), Some(401));
    }
    let cookie = server.request("GET", "/api/threads").header("cookie", "adjutant=one-more");
    answer(cookie).await.is_problem(429, "too_many_wrong_keys", "a cookie");
    assert_eq!(open(&server, &good).await.err(), Some(429), "tickets are not even looked at");
    answer(server.request("POST", "/api/session").bearer_auth("guess")).await.is_problem(
        429,
        "too_many_wrong_keys",
        "signing in",
    );
    assert_eq!(answer(browser.bare("GET", "/api/threads")).await.status, 200);
    server.stop().await;
}
