//! `GET /v1/models`: every agent is a model. Until agents exist there is one.

use axum::Json;
use serde::Serialize;

use super::failure::Failure;
use crate::auth::extract::UserScope;
use crate::http::path::Id;

/// The one agent.
const COS: &str = "cos";

#[derive(Serialize)]
pub struct Model {
    id: &'static str,
    object: &'static str,
    /// Agents have no date of their own.
    created: u64,
    owned_by: &'static str,
}

#[derive(Serialize)]
pub struct List {
    object: &'static str,
    data: Vec<Model>,
}

pub async fn list(_user: UserScope) -> Json<List> {
    Json(List { object: "list", data: vec![cos()] })
}

pub async fn get(_user: UserScope, Id(id): Id<String>) -> Result<Json<Model>, Failure> {
    find(&id).map(|()| Json(cos()))
}

/// Whether there is a model of that name.
pub(super) fn find(name: &str) -> Result<(), Failure> {
    if name == COS { Ok(()) } else { Err(Failure::no_model(name)) }
}

pub(super) fn name() -> &'static str {
    COS
}

fn cos() -> Model {
    Model { id: COS, object: "model", created: 0, owned_by: "adjutant" }
}
