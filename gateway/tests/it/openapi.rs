//! The OpenAPI document: complete, consistent, and the same as the table of routes.

use std::collections::BTreeSet;

use adjutant::http::openapi::{covers, document, text};
use adjutant::http::router::{Auth, ROUTES};
use serde_json::Value;

use crate::server::{TestServer, answer};

/// (method, path, operation) of everything in a document.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    found
}

#[test]
fn the_document_and_the_table_name_the_same_routes() {
    let document = document();
    let documented: BTreeSet<_> =
        operations(&document).into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let table: BTreeSet<_> =
        ROUTES.iter().filter(|route| covers(route)).map(|route| format!("{} {}", route.method, route.path)).collect();
    let missing: Vec<_> = table.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&table).collect();
    assert!(missing.is_empty(), "add a line to `paths` in http/openapi.rs for {missing:?}");
    assert!(unknown.is_empty(), "the router's table does not have {unknown:?}");
}

#[test]
fn every_operation_says_who_may_call_it_and_how_it_refuses() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let route = ROUTES.iter().find(|route| route.path == path && route.method == *method).unwrap();
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        assert_eq!(operation["security"].is_array(), route.auth != Auth::None, "{method} {path}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
        assert!(responses.contains_key("401") == (route.auth != Auth::None), "{method} {path}");
        let named: Vec<_> = operation["parameters"].as_array().into_iter().flatten().collect();
        for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let known = named.iter().any(|parameter| parameter["in"] == "path" && parameter["name"] == name);
            assert!(known, "{method} {path} does not describe {name}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in found {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
}

#[test]
fn every_property_is_named_as_it_travels() {
    fn names<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                let properties = fields.get("properties").and_then(Value::as_object);
                found.extend(properties.into_iter().flatten().map(|(name, _)| name.as_str()));
                fields.values().for_each(|value| names(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    names(&document["components"]["schemas"], &mut found);
    let odd: Vec<_> = found.into_iter().filter(|name| name.contains('_')).collect();
    assert!(odd.is_empty(), "serde says camelCase, the schema says {odd:?}");
}

#[test]
fn the_document_that_is_checked_in_is_the_one_that_is_served() {
    let checked_in = include_str!("../../../docs/openapi.json");
    assert!(checked_in == text(), "docs/openapi.json is out of date: run ./x openapi");
}

#[tokio::test]
async fn the_document_is_served_without_a_key() {
    let server = TestServer::start().await;
    let answer = answer(server.request("GET", "/api/openapi.json")).await;
    assert_eq!((answer.status, answer.body), (200, document()));
    server.stop().await;
}
