// A dialog over the page: for a form, or to confirm what is about to be done.
import { Button, Modal } from "@mantine/core";
import type { ReactNode } from "react";

import styles from "./dialog.module.css";
import { useErrorText } from "./states.tsx";
import { useMessages } from "./view.ts";

export interface DialogProps {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  children: ReactNode;
}

/** Takes the focus, keeps it, and gives it back to where it was. Escape closes it. */
export function Dialog({ title, isOpen, onClose, children }: DialogProps) {
  const t = useMessages();
  return (
    <Modal.Root opened={isOpen} onClose={onClose} centered lockScroll={false}>
      <Modal.Overlay />
      <Modal.Content className={styles.content ?? ""}>
        {/* It is not the banner of the page, which a header would be. */}
        <Modal.Header role="presentation" className={styles.header ?? ""}>
          <Modal.Title className={styles.title ?? ""}>{title}</Modal.Title>
          <Modal.CloseButton aria-label={t.common.close} />
        </Modal.Header>
        <Modal.Body>{children}</Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

export interface ConfirmProps extends DialogProps {
  /** What the button says that does it. */
  action: string;
  isBusy: boolean;
  error: Error | null;
  onConfirm: () => void;
}

export function Confirm(props: ConfirmProps) {
  const { action, isBusy, error, onConfirm, children, ...dialog } = props;
  const t = useMessages();
  const textOf = useErrorText();
  return (
    <Dialog {...dialog}>
      <div className={styles.body}>
        {children}
        {error !== null && (
          <p className={styles.failed} role="alert">
            <bdi>{textOf(error)}</bdi>
          </p>
        )}
        <div className={styles.buttons}>
          <Button variant="default" onClick={dialog.onClose} data-autofocus>
            {t.common.cancel}
          </Button>
          <Button loading={isBusy} onClick={onConfirm}>
            {action}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
