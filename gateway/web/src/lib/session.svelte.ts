// Who sits in front of this page. A key is swapped for a cookie that scripts cannot read; what is kept here is no secret.
import { answer, api, Problem, useProfile, whenUnauthorized, type Schemas } from './api';
import { forgetAll, forgetReadable, looks } from './keep';

type Who = Schemas['SessionView'];
export type Phase = 'unknown' | 'signed-out' | 'signed-in';

const LAST = 'adjutant.who';
const PROFILE = 'adjutant.profile';
const PERSONAL = 'personal';
/** Milliseconds without an answer, after which it is whoever it was last. */
const LATE = 2_500;

class Session {
  phase = $state<Phase>('unknown');
  who = $state.raw<Who | null>(null);
  profiles = $state.raw<Schemas['ProfileSummary'][]>([]);
  me = $state.raw<Schemas['Me'] | null>(null);
  /** The session ended while the page was open: what is written stays where it is. */
  expired = $state(false);

  /** Somebody is on their way out: nothing of theirs is written here again, and only leaving leads anywhere. */
  isLeaving = false;

  /** Why it cannot be said who is here, where that is no answer to the key. */
  failure = $state.raw<unknown>(null);

  #tabs = new BroadcastChannel('adjutant.session');
  /** The server said who is here: until then it is whoever it was last. */
  #isSure = false;

  constructor() {
    whenUnauthorized(() => {
      if (this.phase === 'signed-in') this.expired = true;
      if (this.phase !== 'unknown') this.phase = 'signed-out';
      // Signed out from elsewhere, perhaps because the device is lost.
      void forgetReadable().catch(() => {});
    });
  }

  get profile(): string {
    return this.who?.profile ?? PERSONAL;
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
    const profile = chosen();
    useProfile(profile);
    this.#tabs.onmessage = ({ data }: MessageEvent<Who | 'out'>) => this.#heed(data);
    const last = lastHere();
    const asLast = () => {
      if (this.phase !== 'unknown') return;
      // Of all tabs it is the same person; the profile is this tab's own.
      if (last && !this.who) this.#take({ ...last, profile: last.anyProfile ? (profile ?? PERSONAL) : last.profile });
      if (this.who) this.phase = 'signed-in';
    };
    // A network that only seems to be one must not leave the page empty.
    const late = setTimeout(asLast, LATE);
    try {
      await this.#read();
    } catch (error) {
      const isAway = error instanceof Problem && (error.code === 'offline' || error.status >= 500);
      if (isAway && (last || this.who)) return asLast();
      if (!(error instanceof Problem && error.status === 401)) this.failure = error;
      this.phase = 'signed-out';
    } finally {
      clearTimeout(late);
    }
  }

  /** Before anything goes out in their name: whether it is who this page takes them for. If not, it begins anew. */
  async sure() {
    const last = lastHere();
    if (this.#isSure && last && this.#isFor(last)) return;
    // As every other request of this page is answered.
    const me = await answer(api.GET('/api/me')).catch((error: unknown) => {
      if (!isClosed(error)) throw error;
      forgetProfile();
      return anew();
    });
    if (me.user !== this.who?.user) return anew('/');
    if (me.profile !== this.profile) return anew();
    this.#isSure = true;
  }

  /** Whoever was here comes back to where they were. What the page has in memory is for nobody else: it begins anew. */
  async signIn(key: string) {
    const before = this.who ?? lastHere();
    useProfile(null);
    const who = await answer(api.POST('/api/session', { headers: { 'X-API-Key': key }, body: { label: label() } }));
    const isBack = before?.user === who.user;
    // A key for one profile is for no other.
    if (!isBack || !who.anyProfile) forgetProfile();
    localStorage.setItem(LAST, JSON.stringify(who));
    this.#tabs.postMessage(who);
    if (before && !isBack) return anew('/');
    if (this.who) return anew();
    useProfile(chosen());
    await this.#read();
  }

  /** Why it did not work: without the server the cookie would stay, and the next one here would be this person. */
  async signOut() {
    await this.#leave(async () => {
      const stays = looks();
      try {
        await api.DELETE('/api/session');
      } catch (error) {
        // Over already: what is left to do is to forget.
        if (!(error instanceof Problem && error.status === 401)) throw error;
      }
      await this.#forget(stays);
    });
  }

  /** The person with all that belongs to them, on the server and then here. */
  async deleteAll() {
    await this.#leave(async () => {
      await answer(api.DELETE('/api/me', { body: { confirm: this.who?.user ?? '' } }));
      await this.signOut();
    });
  }

  async #leave(act: () => Promise<void>) {
    this.isLeaving = true;
    try {
      await act();
    } catch (error) {
      this.isLeaving = false;
      throw error;
    }
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

  /** The profile of this tab is gone. */
  profileGone() {
    forgetProfile();
    location.assign('/');
  }

  async refresh() {
    const [me, profiles] = await Promise.all([answer(api.GET('/api/me')), answer(api.GET('/api/profiles'))]);
    [this.me, this.profiles] = [me, profiles.items];
  }

  async #read() {
    // Then all is asked at once.
    const early = this.wasHere ? this.refresh() : null;
    early?.catch(() => {});
    await this.#ask();
    await (early?.catch(() => this.refresh()) ?? this.refresh());
    this.phase = 'signed-in';
  }

  async #ask() {
    const who = await answer(api.GET('/api/session')).catch((error: unknown) => {
      if (!isClosed(error) || !chosen()) throw error;
      forgetProfile();
      useProfile(null);
      return answer(api.GET('/api/session'));
    });
    localStorage.setItem(LAST, JSON.stringify(who));
    // It was taken for who was last here, and is somebody else.
    if (this.who && this.who.user !== who.user) return anew('/');
    if (this.who && this.profile !== who.profile) return anew();
    this.#take(who);
    this.#isSure = true;
  }

  /** Somebody signed in or out in another tab: of anybody else this one shows nothing any more. */
  #heed(who: Who | 'out') {
    if (who === 'out') {
      this.isLeaving = true;
      return location.replace('/');
    }
    if (this.phase === 'signed-in' && this.#isFor(who)) return;
    const isOther = this.who !== null && this.who.user !== who.user;
    if (isOther) sessionStorage.removeItem(PROFILE);
    void anew(isOther ? '/' : undefined);
  }

  /** From here on, what is asked for and kept is theirs. A tab stays with its profile, whatever another one does. */
  #take(who: Who) {
    this.who = who;
    sessionStorage.setItem(PROFILE, who.profile);
    useProfile(who.profile);
  }

  /** A session of these may do what this page shows. */
  #isFor({ user, anyProfile, profile }: Who): boolean {
    return user === this.who?.user && (anyProfile || profile === this.profile);
  }
}

/** The profile that was chosen here is gone, or not for this key. */
function isClosed(error: unknown): boolean {
  return error instanceof Problem && (error.status === 404 || error.status === 403);
}

/** Nothing that a page has in memory is for somebody else, or another profile. Whoever waits for it waits for ever. */
function anew(address?: string): Promise<never> {
  if (address) location.replace(address);
  else location.reload();
  return new Promise(() => {});
}

/** Who was signed in last, in whichever tab. */
function lastHere(): Who | null {
  return JSON.parse(localStorage.getItem(LAST) ?? 'null') as Who | null;
}

/** The profile of this tab; a new one takes the profile that was chosen last. */
function chosen(): string | null {
  return sessionStorage.getItem(PROFILE) ?? localStorage.getItem(PROFILE);
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
