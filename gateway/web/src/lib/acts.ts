// What a person can do with one message of a conversation.
import { endOf } from './answers';
import { answer, api, sentence, type Schemas } from './api';
import { desk, type Conversation } from './desk.svelte';
import type { Message } from './message.svelte';
import { router } from './router.svelte';
import { toasts } from './toasts.svelte';
import { t } from './words';

export interface Acts {
  edit(message: Message): void;
  /** Answers the message of the person before it once more. */
  tryAgain(message: Message, model?: string): void;
  fork(message: Message): void;
  /** Shows the branch in which that message stands. */
  show(id: string): void;
}

export function actsOf(thread: string, conversation: Conversation | null, edit: (message: Message) => void): Acts {
  const careful = (deed: () => Promise<void>) => void deed().catch((error: unknown) => toasts.say(sentence(error)));
  let isForking = false;
  return {
    edit,
    tryAgain(message, model) {
      const messages = conversation?.transcript.messages ?? [];
      const before = messages.slice(0, messages.indexOf(message) + 1);
      const asked = before.findLast((other) => other.role === 'user') ?? message;
      if (!desk.tryAgain(thread, asked.id, model)) toasts.say(t('chat.againOffline'));
    },
    fork: (message) =>
      careful(async () => {
        // A second press makes no second one.
        if (isForking) return;
        isForking = true;
        const body = { messageId: message.id };
        try {
          const fork = await answer(api.POST('/api/threads/{id}/fork', { params: { path: { id: thread } }, body }));
          router.go(`/chat/${fork.id}`);
        } finally {
          isForking = false;
        }
      }),
    show: (id) =>
      careful(async () => {
        await desk.threads.change(thread, { headId: endOf(id, await fromThereOn(thread, id)) });
        if (conversation) await desk.refresh(conversation);
      }),
  };
}

/** The messages of all branches that are not older than that one. */
async function fromThereOn(thread: string, id: string): Promise<Schemas['MessageView'][]> {
  const messages: Schemas['MessageView'][] = [];
  let before: string | null | undefined;
  do {
    const query = { limit: 100, ...(before && { before }) };
    const page = await answer(api.GET('/api/threads/{id}/messages', { params: { path: { id: thread }, query } }));
    messages.push(...page.items);
    before = page.next;
  } while (before && !messages.some((message) => message.id === id));
  return messages;
}
