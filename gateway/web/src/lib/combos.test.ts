import { describe, expect, it } from 'vitest';
import { changesOf, choose, comboOf, hits, IDS, names, readings, refusal, spelled, takenBy, USUAL } from './combos';
import type { Combo, Pressed } from './combos';

/** `Control+Shift+:@Semicolon`: what is held, the sign, its place. */
function press(text: string): Pressed {
  const [signs = '', code = ''] = text.split('@');
  const held = /^((?:\w+\+)*)(.+)$/.exec(signs);
  const mods = held?.[1] ?? '';
  return {
    key: held?.[2] ?? '',
    code,
    ctrlKey: mods.includes('Control'),
    metaKey: mods.includes('Meta'),
    altKey: mods.includes('Alt'),
    shiftKey: mods.includes('Shift'),
  };
}
const read = (text: string, isApple = false) => readings(press(text), isApple);
const first = (text: string, isApple = false) => read(text, isApple)[0] as Combo;
const means = (text: string, isApple = false) =>
  IDS.find((id) => read(text, isApple).some((combo) => hits(combo, USUAL[id])));
const combo = (mods: string, key: string, code = ''): Combo => ({ mods, key, code });

describe('the usual keys', () => {
  it('are met on an American keyboard', () => {
    expect(means('Control+k@KeyK')).toBe('find');
    expect(means('Control+K@KeyK')).toBe('find');
    expect(means('Control+Shift+O@KeyO')).toBe('new');
    expect(means('Shift+Escape@Escape')).toBe('focus');
    expect(means('Control+Shift+:@Semicolon')).toBe('copyCode');
    expect(means('Control+Alt+Enter@Enter')).toBe('allow');
    expect(means('Control+Alt+Enter@NumpadEnter')).toBe('allow');
    expect(means('Control+Alt+Backspace@Backspace')).toBe('deny');
    expect(means('Control+/@Slash')).toBe('keys');
  });

  it('are no other keys', () => {
    for (const keys of ['k@KeyK', 'Alt+k@KeyK', 'Control+Shift+K@KeyK', 'Control+Alt+k@KeyK', 'Meta+k@KeyK'])
      expect(means(keys)).toBeUndefined();
    expect(means('Escape@Escape')).toBeUndefined();
    expect(means('Control+;@Semicolon')).toBeUndefined();
    expect(means('Control+Shift+?@Slash')).toBeUndefined();
  });

  it('are Command on a Mac, whose Ctrl is a key of its own', () => {
    expect(means('Meta+k@KeyK', true)).toBe('find');
    expect(means('Control+k@KeyK', true)).toBeUndefined();
    expect(means('Meta+Alt+Enter@Enter', true)).toBe('allow');
    expect(means('Meta+Control+k@KeyK', true)).toBeUndefined();
  });

  it('are met where the layout has the sign elsewhere', () => {
    // Dvorak: the sign counts, and what stands at its American place means nothing.
    expect(means('Control+k@KeyV')).toBe('find');
    expect(means('Control+t@KeyK')).toBeUndefined();
    expect(means('Control+Shift+S@Semicolon')).toBe('side');
    // Germany: above the 7, above the comma. What is at the American place of the slash makes the page smaller.
    expect(means('Control+Shift+/@Digit7')).toBe('keys');
    expect(means('Control+Shift+;@Comma')).toBe('copyCode');
    expect(means('Control+-@Slash')).toBeUndefined();
    // Another script: by place.
    expect(means('Control+л@KeyK')).toBe('find');
    expect(means('Control+Shift+Щ@KeyO')).toBe('new');
    expect(means('Control+Shift+Ж@Semicolon')).toBe('copyCode');
  });

  it('clash with none of each other, and can all be chosen', () => {
    for (const isApple of [false, true])
      for (const id of IDS) {
        expect(refusal(USUAL[id], isApple)).toBeUndefined();
        expect(takenBy([USUAL[id]], id, {})).toBeUndefined();
      }
  });
});

describe('a reading', () => {
  it('is the sign without Shift where that is known', () => {
    expect(read('Control+Shift+!@Digit1')).toEqual([combo('mod shift', '1', 'Digit1')]);
    expect(read('Control+Alt+Shift+ArrowUp@ArrowUp')).toEqual([combo('mod alt shift', 'ArrowUp', 'ArrowUp')]);
    expect(read('Control+&@Digit1')).toEqual([combo('mod', '&', 'Digit1')]);
    expect(read('Control++@BracketRight')).toEqual([combo('mod', '+', 'BracketRight')]);
  });

  it('looks through what Option composes', () => {
    expect(first('Meta+Alt+˚@KeyK', true)).toEqual(combo('mod alt', 'k', 'KeyK'));
    expect(first('Meta+Alt+…@Semicolon', true)).toEqual(combo('mod alt', ';', 'Semicolon'));
    expect(first('Meta+Alt+Dead@KeyN', true)).toEqual(combo('mod alt', 'n', 'KeyN'));
  });

  it('keeps a sign that no American keyboard has', () => {
    const umlaut = first('Control+ö@Semicolon');
    expect(umlaut).toEqual(combo('mod', 'ö', 'Semicolon'));
    expect(hits(umlaut, combo('mod', ';', 'Semicolon'))).toBe(true);
    expect(hits(umlaut, combo('mod', 'ö', 'KeyX'))).toBe(true);
    expect(hits(umlaut, combo('mod shift', 'ö', 'Semicolon'))).toBe(false);
    expect(hits(combo('mod', 'é'), combo('mod', 'à'))).toBe(false);
  });

  it('is none with the Windows key', () => {
    expect(read('Meta+Control+k@KeyK')).toEqual([]);
    expect(choose('find', [], {}, false)).toBeUndefined();
  });
});

describe('the names', () => {
  it('are those that stand on the keys', () => {
    expect(names(USUAL.new, false)).toEqual(['Ctrl', 'Shift', 'O']);
    expect(names(USUAL.new, true)).toEqual(['⌘', '⇧', 'O']);
    expect(names(USUAL.deny, false)).toEqual(['Ctrl', 'Alt', '⌫']);
    expect(names(USUAL.allow, true)).toEqual(['⌘', '⌥', 'Enter']);
    expect(names(USUAL.focus, false)).toEqual(['Shift', 'Esc']);
    expect(names(combo('ctrl', 'k'), true)).toEqual(['⌃', 'K']);
    expect(names(combo('mod alt', ' '), false)).toEqual(['Ctrl', 'Alt', 'Space']);
    expect(names(combo('mod', 'ß'), false)).toEqual(['Ctrl', 'ß']);
    expect(names(combo('', 'F8'), false)).toEqual(['F8']);
  });

  it('are spelled for screen readers', () => {
    expect(spelled(USUAL.deny, false)).toBe('Control+Alt+Backspace');
    expect(spelled(USUAL.allow, true)).toBe('Meta+Alt+Enter');
    expect(spelled(combo('mod', '+'), false)).toBe('Control+Plus');
  });
});

describe('keys that were pressed', () => {
  const why = (text: string, isApple = false) => {
    const choice = choose('find', read(text, isApple), {}, isApple);
    return choice && ('combo' in choice ? 'taken' : 'why' in choice ? choice.why : choice.other);
  };

  it('are taken when they can be a shortcut', () => {
    for (const keys of ['Control+j@KeyJ', 'Alt+n@KeyN', 'Control+Shift+ArrowUp@ArrowUp', 'F8@F8', 'Shift+F10@F10'])
      expect([keys, why(keys)]).toEqual([keys, keys.includes('Arrow') ? 'writes' : 'taken']);
    expect(why('Control+Alt+ArrowUp@ArrowUp')).toBe('taken');
    expect(why('Control+k@KeyK')).toBe('taken');
    expect(why('Control+w@KeyW', true)).toBe('taken');
    expect(why('Meta+Alt+˚@KeyK', true)).toBe('taken');
  });

  it('are not those that are typed', () => {
    for (const keys of ['x@KeyX', 'Shift+X@KeyX', '1@Digit1', 'ContextMenu@ContextMenu'])
      expect(why(keys)).toBe('bare');
    expect(why('Alt+å@KeyA', true)).toBe('bare');
    expect(choose('find', read('Control+Alt+@@KeyQ'), {}, false, true)).toMatchObject({ why: 'bare' });
  });

  it('are not those that edit or send', () => {
    for (const keys of [
      'Enter@Enter',
      ' @Space',
      'Control+Enter@Enter',
      'Control+c@KeyC',
      'Control+Shift+Z@KeyZ',
      'Alt+ArrowLeft@ArrowLeft',
    ])
      expect([keys, why(keys)]).toEqual([keys, 'writes']);
  });

  it('are not those that no page is given', () => {
    for (const keys of ['w@KeyW', 't@KeyT', 'n@KeyN', 'q@KeyQ', 'Shift+T@KeyT', 'Tab@Tab', 'PageUp@PageUp'])
      expect([keys, why(`Control+${keys}`)]).toEqual([keys, 'system']);
    for (const keys of ['w@KeyW', 'q@KeyQ', 'h@KeyH', ' @Space']) expect(why(`Meta+${keys}`, true)).toBe('system');
    expect(why('Alt+F4@F4')).toBe('system');
    expect(why('Control+Escape@Escape')).toBe('system');
  });

  it('are not those of another shortcut, as it is now', () => {
    expect(why('Control+Shift+O@KeyO')).toBe('new');
    expect(why('Shift+Escape@Escape')).toBe('focus');
    // In Germany the slash is above the 7.
    expect(why('Control+Shift+/@Digit7')).toBe('keys');
    const changes = { new: combo('alt', 'n', 'KeyN') };
    expect(choose('find', read('Control+Shift+O@KeyO'), changes, false)).toHaveProperty('combo');
    expect(choose('find', read('Alt+n@KeyN'), changes, false)).toMatchObject({ other: 'new' });
    expect(choose('new', read('Alt+n@KeyN'), changes, false)).toHaveProperty('combo');
  });
});

describe('what was kept', () => {
  const kept = (value: unknown, isApple = false) => changesOf(JSON.stringify(value), isApple);

  it('comes back', () => {
    const changes = { new: combo('alt', 'n', 'KeyN'), focus: combo('', 'F8', 'F8'), deny: combo('mod', 'ö', '') };
    expect(kept(changes)).toEqual(changes);
    expect(comboOf('new', changes)).toEqual(changes.new);
    expect(comboOf('find', changes)).toBe(USUAL.find);
  });

  it('is not minded when it is broken or foreign', () => {
    for (const text of [null, '', '{', 'null', '7', '"new"', '[]', '{"new":null}', '{"new":"alt n"}'])
      expect(changesOf(text, false)).toEqual({});
    const good = combo('alt', 'n', 'KeyN');
    for (const value of [
      { ...good, mods: 'shift alt' },
      { ...good, mods: 'alt alt' },
      { ...good, mods: 'hyper' },
      { ...good, mods: 'ctrl' },
      { ...good, mods: '' },
      { ...good, key: '' },
      { ...good, key: 'N' },
      { ...good, key: 'Something' },
      { ...good, key: ['n'] },
      { ...good, code: '<b>' },
      { mods: 'alt', key: 'n' },
      combo('mod', 'w', 'KeyW'),
      combo('mod', 'c', 'KeyC'),
      USUAL.new,
    ])
      expect([value, kept({ new: value })]).toEqual([value, {}]);
    expect(kept({ stop: good, other: good })).toEqual({});
    expect(kept({ new: combo('ctrl', 'n') }, true)).toEqual({ new: combo('ctrl', 'n') });
  });

  it('never gives two the same keys', () => {
    const same = combo('alt', 'n', 'KeyN');
    expect(kept({ find: same, new: same })).toEqual({ new: same });
    expect(kept({ find: USUAL.new })).toEqual({});
    // Those of each other are two.
    expect(kept({ find: USUAL.new, new: USUAL.find })).toEqual({ find: USUAL.new, new: USUAL.find });
    // The one that had given its keys away has them again.
    expect(kept({ find: USUAL.new, new: combo('mod', 'w') })).toEqual({});
  });
});
