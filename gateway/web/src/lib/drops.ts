// A file that is dropped beside everything must not take the place of the page, with what is written in it.

const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;

export function catchStrayFiles() {
  const refuse = (event: DragEvent) => {
    if (!hasFiles(event) || event.defaultPrevented) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = 'none';
  };
  addEventListener('dragover', refuse);
  addEventListener('drop', refuse);
}

/** For as long as somebody can take them: files that are dropped anywhere in the page. */
export function takeDrops(take: (files: FileList) => void, over: (isOver: boolean) => void): () => void {
  const dragover = (event: DragEvent) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = 'copy';
    over(true);
  };
  const dragleave = (event: DragEvent) => event.relatedTarget === null && over(false);
  const drop = (event: DragEvent) => {
    over(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer) take(event.dataTransfer.files);
  };
  addEventListener('dragover', dragover);
  addEventListener('dragleave', dragleave);
  addEventListener('drop', drop);
  return () => {
    removeEventListener('dragover', dragover);
    removeEventListener('dragleave', dragleave);
    removeEventListener('drop', drop);
  };
}

/** What a paste brings as files. Programs that copy text lay a picture of it beside it: then the text is meant. */
export function pasted(data: DataTransfer | null): File[] {
  const files = [...(data?.files ?? [])];
  const isText = data?.types.includes('text/plain') && data.types.includes('text/html');
  const arePictures = files.every(({ type }) => type.startsWith('image/'));
  return isText && arePictures ? [] : files;
}
