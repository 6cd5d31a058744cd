// Buttons of which some are pressed.
import styles from "./toggles.module.css";

export interface TogglesProps<Value extends string> {
  label: string;
  options: readonly { value: Value; label: string }[];
  chosen: readonly Value[];
  onToggle: (value: Value) => void;
}

export function Toggles<Value extends string>(props: TogglesProps<Value>) {
  const { label, options, chosen, onToggle } = props;
  return (
    <div className={styles.group} role="group" aria-label={label}>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          className={styles.toggle}
          aria-pressed={chosen.includes(option.value)}
          onClick={() => { onToggle(option.value); }}
        >
          {option.label}
        </button>
      ))}
    </div>
  );
}
