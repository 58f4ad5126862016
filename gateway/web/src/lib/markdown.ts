// Markdown of models as safe HTML. It may be cut anywhere: `remend` closes what is open. Nothing that loads from
// elsewhere survives: no images, no frames, no styles; links open apart and say nothing of where they come from.
import DOMPurify, { type Config } from 'dompurify';
import { Marked, type Token, type TokensList } from 'marked';
import remend from 'remend';

const marked = new Marked({ gfm: true, breaks: false, async: false });

marked.use({
  renderer: {
    // Plain text of raw HTML, whoever wrote it.
    html: ({ text }) => escape(text),
    // A picture would tell its server that it was seen. What it is stays readable, and can be opened on purpose.
    image({ href, text }) {
      return /^https?:/i.test(href) ? `<a href="${escape(href)}">${escape(text || href)}</a>` : escape(text);
    },
    code({ text, lang }) {
      const language = (lang ?? '').trim().split(/\s+/)[0] ?? '';
      return `<pre data-lang="${escape(language)}"><code>${escape(text)}</code></pre>`;
    },
    table({ header, rows, align }) {
      const style = (index: number) => (align[index] ? ` align="${align[index]}"` : '');
      const head = header.map(
        (cell, index) => `<th scope="col"${style(index)}>${this.parser.parseInline(cell.tokens)}</th>`,
      );
      const body = rows.map(
        (row) =>
          `<tr>${row.map((cell, index) => `<td${style(index)}>${this.parser.parseInline(cell.tokens)}</td>`).join('')}</tr>`,
      );
      return `<div class="tw" tabindex="0"><table><thead><tr>${head.join('')}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
    },
  },
});

const ALLOWED: Config = {
  ALLOWED_TAGS: [
    'p',
    'br',
    'hr',
    'h1',
    'h2',
    'h3',
    'h4',
    'h5',
    'h6',
    'ul',
    'ol',
    'li',
    'blockquote',
    'pre',
    'code',
    'div',
    'input',
    'strong',
    'em',
    'del',
    'a',
    'table',
    'thead',
    'tbody',
    'tr',
    'th',
    'td',
    'sup',
    'sub',
  ],
  ALLOWED_ATTR: ['href', 'data-lang', 'class', 'tabindex', 'align', 'scope', 'start', 'type', 'checked', 'disabled'],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|tel:)/i,
  ADD_URI_SAFE_ATTR: ['tabindex', 'type', 'align', 'scope', 'start', 'data-lang'],
  RETURN_TRUSTED_TYPE: true,
};

DOMPurify.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
  }
  // Classes are ours alone: those of the wrapper around a table, and of coloured code, whose spans no Markdown can have.
  const name = node.getAttribute('class');
  const isOurs = name === 'tw' || (node.tagName === 'SPAN' && /^hljs-[a-z_ -]+$/.test(name ?? ''));
  if (name !== null && !isOurs) node.removeAttribute('class');
  if (node.tagName === 'INPUT' && node.getAttribute('type') !== 'checkbox') node.remove();
});

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** One block of a text: equal raw text is equal HTML, so that only what grows is parsed again. */
export interface Block {
  key: number;
  raw: string;
  /** Where it ends in the text, with the empty lines behind it. */
  end: number;
  html: string;
  /** A code block: its language and text, to be shown with its own tools. */
  code: { language: string; text: string } | null;
}

/** Signs that mean something only with what follows them, and the first rows of what may become a table. */
const UNDECIDED = /(?:[*_~`#>|+-]+|!?\[)[ \t]*$/;
const TABLE_HEAD = /(?:^|\n)\|[^\n]*(?:\n[|\s:-]*)?$/;
const TABLE_BODY = /(?:^|\n)\|[^\n]*\n\|?[ \t]*:?-+[^\n]*\n/;

/** The part of a growing text that can be shown: what is only syntax so far waits for what it belongs to. */
export function decided(text: string): string {
  const last = text.lastIndexOf('\n\n');
  const block = text.slice(last + 1);
  const head = TABLE_BODY.test(block) ? null : TABLE_HEAD.exec(block);
  const shown = head ? text.slice(0, last + 1 + head.index) : text;
  return shown.replace(UNDECIDED, '');
}

/** A text in blocks, as far as it was drawn. */
export interface Drawn {
  text: string;
  blocks: Block[];
}

/** The last blocks of a growing text may still become something else: a list longer, a line a heading. */
const UNSETTLED = 2;

/** Splits a text into blocks; those that are as before are the same objects. Of a text that grows only the end is read. */
export function blocks(source: string, before: Drawn = { text: '', blocks: [] }, isGrowing = false): Drawn {
  const text = unixed(source);
  const hasGrown = isGrowing && before.text !== '' && text.startsWith(before.text);
  const settled = hasGrown ? before.blocks.slice(0, -UNSETTLED) : [];
  let end = settled.at(-1)?.end ?? 0;
  const rest = text.slice(end);
  const tokens = marked.lexer(isGrowing ? remend(decided(rest)) : rest);
  const refers = Object.keys(tokens.links).length > 0;
  const read = [...settled];
  for (const token of tokens) {
    end += token.raw.length;
    const last = read.at(-1);
    if (token.type === 'space') {
      if (last && last.end < end) read[read.length - 1] = Object.assign(last, { end });
      continue;
    }
    const known = before.blocks[read.length];
    // What a link refers to may come behind it.
    if (known?.raw === token.raw && !refers) read.push(Object.assign(known, { end }));
    else read.push({ key: read.length, raw: token.raw, end, ...shown(token, tokens) });
  }
  return { text, blocks: read };
}

/** A finished text at once: all that stands between two code blocks is one block. The sanitizer makes a document of each. */
export function whole(source: string): Drawn {
  const text = unixed(source);
  const tokens = marked.lexer(text);
  const read: Block[] = [];
  let end = 0;
  let prose: Token[] = [];
  const close = () => {
    const raw = prose.map((token) => token.raw).join('');
    if (raw.trim() !== '') read.push({ key: read.length, raw, end, html: safe(prose, tokens), code: null });
    prose = [];
  };
  for (const token of tokens) {
    if (token.type === 'code') close();
    end += token.raw.length;
    if (token.type === 'code') read.push({ key: read.length, raw: token.raw, end, html: '', code: codeOf(token) });
    else prose.push(token);
  }
  close();
  return { text, blocks: read };
}

const unixed = (text: string) => (text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text);

function shown(token: Token, tokens: TokensList): Pick<Block, 'html' | 'code'> {
  return token.type === 'code' ? { html: '', code: codeOf(token) } : { html: safe([token], tokens), code: null };
}

function codeOf(token: Token): Block['code'] {
  const [language] = String('lang' in token ? (token.lang ?? '') : '')
    .trim()
    .split(/\s+/);
  return { language: language ?? '', text: String('text' in token ? token.text : '') };
}

function safe(some: Token[], { links }: TokensList): string {
  const html = marked.parser(Object.assign([...some], { links }) as Parameters<typeof marked.parser>[0]);
  return DOMPurify.sanitize(html, ALLOWED) as unknown as string;
}
