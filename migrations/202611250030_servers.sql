-- MCP servers that users add, and the definitions of tools that they know. Never a command: a server here is an address.

create table mcp_servers (
    user_id       text not null,
    profile       text not null,
    name          text not null check (char_length(name) between 1 and 32),
    url           text not null check (octet_length(url) between 1 and 2048),
    enabled       boolean not null default true,
    lifecycle     text not null default 'auto' check (lifecycle in ('auto', 'initialize', 'stateless')),
    timeout_ms    integer check (timeout_ms between 1 and 3600000),
    headers       jsonb not null default '[]' check (octet_length(headers::text) <= 16384),
    allow_private boolean not null default false,
    created_at    timestamptz not null default app_now(),
    updated_at    timestamptz not null default app_now(),
    primary key (user_id, profile, name)
);
comment on table mcp_servers is 'MCP servers over HTTP that a profile of a user added';
comment on column mcp_servers.headers is 'which services'' credentials go along, and in which headers; no secret is here';
comment on column mcp_servers.allow_private is 'set by an admin alone: the server may have a private address';

create table mcp_tool_pins (
    user_id       text not null,
    profile       text not null,
    server        text not null check (char_length(server) between 1 and 64),
    tool          text not null check (char_length(tool) between 1 and 256),
    seen_hash     bytea not null check (octet_length(seen_hash) = 32),
    seen          text not null,
    seen_at       timestamptz not null default app_now(),
    accepted_hash bytea check (octet_length(accepted_hash) = 32),
    accepted      text,
    accepted_at   timestamptz,
    primary key (user_id, profile, server, tool),
    check ((accepted_hash is null) = (accepted is null))
);
comment on table mcp_tool_pins is 'definitions of tools as a profile saw and accepted them; a tool whose newest is not accepted is not offered';
comment on column mcp_tool_pins.server is 'of the operator or of the user: no foreign key';
comment on column mcp_tool_pins.seen_hash is 'SHA-256 of the newest definition, whose text may be cut';

do $$
declare name text;
begin
    foreach name in array array['mcp_servers', 'mcp_tool_pins'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy own on %I using (user_id = app_user() and profile = app_profile()) '
                       'with check (user_id = app_user() and profile = app_profile())', name);
        execute format('grant select, insert, update, delete on %I to adjutant_app', name);
    end loop;
end $$;
