// What the settings page shows, and what it can change. It is read once per visit; what was read stays until it is read again.
import { SvelteMap } from 'svelte/reactivity';
import { answer, api, type Schemas } from './api';
import { listKeys } from './keys';
import type { ModelTestResult } from './modelTest';
import { session } from './session.svelte';
import { Source } from './source.svelte';

export type Profile = Schemas['ProfileView'];
export type Credential = Schemas['CredentialView'];
export type Server = Schemas['ServerView'];
export type Policy = Schemas['Policy'];
export type Tool = Schemas['ServerToolView'];

const PAGE = 100;

class Settings {
  profile = new Source(() => answer(api.GET('/api/profiles/{name}', { params: { path: { name: session.profile } } })));
  credentials = new Source(async () => (await answer(api.GET('/api/credentials'))).items);
  servers = new Source(async () => (await answer(api.GET('/api/servers'))).items);
  policies = new Source(async () => (await answer(api.GET('/api/policies'))).items);
  consents = new Source(() => answer(api.GET('/api/consents', { params: { query: { limit: PAGE } } })));
  devices = new Source(async () => (await answer(api.GET('/api/devices'))).items);
  keys = new Source(listKeys);
  /** The tools of servers whose row was opened. */
  tools = new Map<string, Source<Schemas['ServerTools']>>();
  /** What came of trying models and keys on this page, by `provider` or `provider/model`; without a reason it could not be tried. */
  tests = new SvelteMap<string, ModelTestResult & { at: string }>();

  async load() {
    const { profile, credentials, servers, policies, consents, devices, keys } = this;
    const open = [...this.tools.values()];
    await Promise.all(
      [profile, credentials, servers, policies, consents, devices, keys, ...open].map((source) => source.load()),
    );
  }

  toolsOf(server: string): Source<Schemas['ServerTools']> {
    let source = this.tools.get(server);
    if (!source) {
      const name = server;
      source = new Source(() => answer(api.GET('/api/servers/{name}/tools', { params: { path: { name } } })));
      this.tools.set(server, source);
    }
    return source;
  }

  /** The profile's own credential, else the one for all profiles. */
  credential(service: string): Credential | undefined {
    const of = (this.credentials.value ?? []).filter((credential) => credential.service === service);
    return of.find((credential) => credential.profile !== '*') ?? of[0];
  }

  /** Whose credentials go along to a server: those that its headers name, else the one that is named like it. */
  servicesOf(server: Server): string[] {
    const named = [...new Set(server.headers.map((header) => header.service))];
    return named.length > 0 ? named : [server.name];
  }

  /** What holds for a tool, and whether it was said of this tool. */
  policyOf(server: Server, tool: string): { policy: Policy; isOwn: boolean } {
    const own = this.policies.value?.find((policy) => policy.server === server.name && policy.tool === tool);
    return own ? { policy: own.policy, isOwn: true } : { policy: this.serverPolicy(server), isOwn: false };
  }

  serverPolicy(server: Server): Policy {
    const whole = this.policies.value?.find((policy) => policy.server === server.name && !policy.tool);
    return whole?.policy ?? (server.addedBy === 'operator' ? 'annotations' : 'ask');
  }

  /** Writes the profile whole: what the change does not name is as it is on the server now. */
  async writeProfile(change: Schemas['ProfileBody']) {
    const params = { params: { path: { name: session.profile } } };
    const { displayName, models, systemPrompt, userContext, timeZone, allowedServers } = await answer(
      api.GET('/api/profiles/{name}', params),
    );
    const before = { displayName, models, systemPrompt, userContext, timeZone, allowedServers };
    const body = { ...before, ...change } as Schemas['ProfileBody'];
    this.profile.value = await answer(api.PUT('/api/profiles/{name}', { ...params, body }));
    await session.refresh();
  }

  async store(service: string, body: Schemas['CredentialBody'], forAll: boolean) {
    const query = forAll ? { profiles: 'all' } : {};
    await answer(api.PUT('/api/credentials/{service}', { params: { path: { service }, query }, body }));
    await Promise.all([this.credentials.load(), session.refresh()]);
  }

  async forget({ service, profile }: Credential) {
    const query = profile === '*' ? { profiles: 'all' } : {};
    await answer(api.DELETE('/api/credentials/{service}', { params: { path: { service }, query } }));
    await Promise.all([this.credentials.load(), session.refresh()]);
  }

  async decide(server: string, tool: string | null, policy: Policy | null) {
    const path = { server, tool: tool ?? '' };
    if (tool === null) {
      if (policy) await answer(api.PUT('/api/policies/{server}', { params: { path }, body: { policy } }));
      else await answer(api.DELETE('/api/policies/{server}', { params: { path } }));
    } else if (policy) {
      await answer(api.PUT('/api/policies/{server}/{tool}', { params: { path }, body: { policy } }));
    } else {
      await answer(api.DELETE('/api/policies/{server}/{tool}', { params: { path } }));
    }
    await this.policies.load();
  }

  /** Asking is set before the definition counts, so that there is no moment in which it runs unasked. */
  async accept(server: string, tool: Tool) {
    await this.decide(server, tool.tool, 'ask');
    const path = { name: server, tool: tool.tool };
    try {
      await answer(
        api.POST('/api/servers/{name}/tools/{tool}/accept', { params: { path }, body: { hash: tool.hash } }),
      );
    } finally {
      await Promise.all([this.toolsOf(server).load(), this.servers.load(), this.consents.load()]);
    }
  }

  async change(name: string, body: Schemas['ServerSettings']) {
    await answer(api.PATCH('/api/servers/{name}', { params: { path: { name } }, body }));
    await Promise.all([this.servers.load(), this.tools.get(name)?.load()]);
  }

  async remove(name: string) {
    await answer(api.DELETE('/api/servers/{name}', { params: { path: { name } } }));
    this.tools.delete(name);
    await Promise.all([this.servers.load(), this.policies.load(), this.consents.load()]);
    // Its token would be of no use. One for all profiles may be, in another one.
    const token = this.credential(name);
    if (token && token.profile !== '*') await this.forget(token);
  }
}

export const settings = new Settings();
