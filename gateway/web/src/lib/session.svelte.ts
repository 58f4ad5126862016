// Who sits in front of this page. A key is swapped for a cookie that scripts cannot read; what is kept here is no secret.
import { answer, api, Problem, useProfile, whenUnauthorized, type Schemas } from './api';
import { forgetAll, forgetReadable, looks } from './keep';

type Who = Schemas['SessionView'];
export type Phase = 'unknown' | 'signed-out' | 'signed-in';

const LAST = 'adjutant.who';
const PROFILE = 'adjutant.profile';
/** Milliseconds without an answer, after which it is whoever it was last. */
const LATE = 2_500;

class Session {
  phase = $state<Phase>('unknown');
  who = $state.raw<Who | null>(null);
  profiles = $state.raw<Schemas['ProfileSummary'][]>([]);
  me = $state.raw<Schemas['Me'] | null>(null);
  /** The session ended while the page was open: what is written stays where it is. */
  expired = $state(false);

  #tabs = new BroadcastChannel('adjutant.session');

  constructor() {
    whenUnauthorized(() => {
      if (this.phase === 'signed-in') this.expired = true;
      if (this.phase !== 'unknown') this.phase = 'signed-out';
      // Signed out from elsewhere, perhaps because the device is lost.
      void forgetReadable().catch(() => {});
    });
  }

  get profile(): string {
    return this.who?.profile ?? 'personal';
  }

  /** What belongs to this person and profile in what the browser keeps. */
  get scope(): string {
    return `${this.who?.user ?? ''}/${this.profile}`;
  }

  /** Somebody was signed in here, and most likely still is. */
  get wasHere(): boolean {
    return localStorage.getItem(LAST) !== null;
  }

  /** Asks who is signed in. Without a network it is who was last, so that the page can be read. */
  async begin() {
    // A tab stays with its profile, whatever another one does; a new tab takes the one that was chosen last.
    const profile = sessionStorage.getItem(PROFILE) ?? localStorage.getItem(PROFILE);
    if (profile) sessionStorage.setItem(PROFILE, profile);
    useProfile(profile);
    // Signed out in another tab: this one shows nothing of the person any more.
    this.#tabs.onmessage = () => location.replace('/');
    const last = localStorage.getItem(LAST);
    const asLast = () => {
      if (!last || this.phase !== 'unknown') return;
      this.who = JSON.parse(last) as Who;
      this.phase = 'signed-in';
    };
    // A network that only seems to be one must not leave the page empty.
    const late = setTimeout(asLast, LATE);
    try {
      await this.#read();
    } catch (error) {
      if (error instanceof Problem && (error.code === 'offline' || error.status >= 500) && last) {
        asLast();
      } else if (error instanceof Problem && error.status === 404) {
        await this.#without(error);
      } else {
        this.phase = 'signed-out';
      }
    } finally {
      clearTimeout(late);
    }
  }

  async signIn(key: string) {
    useProfile(null);
    forgetProfile();
    await answer(api.POST('/api/session', { headers: { 'X-API-Key': key }, body: { label: label() } }));
    this.expired = false;
    await this.#read();
  }

  /** Why it did not work: without the server the cookie would stay, and the next one here would be this person. */
  async signOut() {
    const stays = looks();
    try {
      await api.DELETE('/api/session');
    } catch (error) {
      // Over already: what is left to do is to forget.
      if (!(error instanceof Problem && error.status === 401)) throw error;
    }
    await this.#forget(stays);
  }

  async #forget(stays: ReturnType<typeof looks>) {
    this.#tabs.postMessage('out');
    try {
      await forgetAll();
      for (const [name, kept] of stays) localStorage.setItem(name, kept);
    } finally {
      location.replace('/');
    }
  }

  /** Everything that a page shows belongs to a profile: so it begins anew. */
  switchTo(profile: string) {
    localStorage.setItem(PROFILE, profile);
    sessionStorage.setItem(PROFILE, profile);
    location.assign('/');
  }

  async refresh() {
    const [me, profiles] = await Promise.all([answer(api.GET('/api/me')), answer(api.GET('/api/profiles'))]);
    [this.me, this.profiles] = [me, profiles.items];
  }

  async #read() {
    const was = this.phase === 'signed-in' ? this.scope : null;
    // Then all is asked at once.
    const early = this.wasHere ? this.refresh() : null;
    early?.catch(() => {});
    this.who = await answer(api.GET('/api/session'));
    localStorage.setItem(LAST, JSON.stringify(this.who));
    // It was taken for who was last here, and is somebody else.
    if (was !== null && was !== this.scope) return location.reload();
    await (early ?? this.refresh());
    this.phase = 'signed-in';
  }

  /** The profile that was chosen here is gone. */
  async #without(error: Problem) {
    if (!sessionStorage.getItem(PROFILE)) throw error;
    forgetProfile();
    useProfile(null);
    await this.#read();
  }
}

/** What a profile is called. */
export function profileName({ name, displayName }: { name: string; displayName: string }): string {
  return displayName || name.charAt(0).toUpperCase() + name.slice(1);
}

function forgetProfile() {
  localStorage.removeItem(PROFILE);
  sessionStorage.removeItem(PROFILE);
}

/** How this browser is named in the list of devices. */
function label(): string {
  const agent = navigator.userAgent;
  const system = /iPhone|iPad|Android|Macintosh|Windows|Linux/.exec(agent)?.[0] ?? 'Browser';
  const browser = /Edg|Firefox|Chrome|Safari/.exec(agent)?.[0] ?? '';
  return `${system} ${browser === 'Edg' ? 'Edge' : browser}`.trim();
}

export const session = new Session();
