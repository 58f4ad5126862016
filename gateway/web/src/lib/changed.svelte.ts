// Tools of which their servers say something new. They are off until a person has looked, so they wait for one.
import { settings, type Server, type Tool } from './settings.svelte';

class Changed {
  /** Left off by a person is decided. */
  items = $derived.by((): { server: Server; tool: Tool }[] => {
    const servers = (settings.servers.value ?? []).filter((server) => server.enabled && server.waitingTools > 0);
    if (servers.length === 0 || settings.policies.value === null) return [];
    return servers.flatMap((server) =>
      (settings.toolsOf(server.name).value?.items ?? [])
        .filter((tool) => tool.state !== 'accepted' && settings.policyOf(server, tool.tool).policy !== 'deny')
        .map((tool) => ({ server, tool })),
    );
  });

  async load() {
    await settings.servers.load();
    const waiting = (settings.servers.value ?? []).filter((server) => server.enabled && server.waitingTools > 0);
    if (waiting.length === 0) return;
    await Promise.all([settings.policies.load(), ...waiting.map((server) => settings.toolsOf(server.name).load())]);
  }
}

export const changed = new Changed();
