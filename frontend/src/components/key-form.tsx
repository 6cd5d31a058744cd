// Asks for the key. It is handed to the one place that sends requests, and kept nowhere else.
import { Button, PasswordInput } from "@mantine/core";
import { useState, type SyntheticEvent } from "react";

import { giveKey } from "@/api/session.ts";

import styles from "./key-form.module.css";
import { useMessages } from "./view.ts";

export function KeyForm({ isRefused, onGiven }: { isRefused: boolean; onGiven: () => void }) {
  const t = useMessages();
  const [key, setKey] = useState("");
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (key.trim() === "") return;
    giveKey(key.trim());
    onGiven();
  };
  return (
    <div className={styles.page}>
      <form className={styles.form} onSubmit={submit}>
        <h1 className={styles.title}>{t.common.keyTitle}</h1>
        <p className={styles.text}>{t.common.keyText}</p>
        <PasswordInput
          label={t.common.key}
          name="key"
          value={key}
          autoComplete="off"
          autoFocus
          required
          withAsterisk={false}
          error={isRefused ? t.common.keyWrong : undefined}
          visibilityToggleButtonProps={{ "aria-label": t.common.keyShow }}
          onChange={(event) => { setKey(event.currentTarget.value); }}
        />
        <Button type="submit" fullWidth>
          {t.common.keyOpen}
        </Button>
      </form>
    </div>
  );
}
