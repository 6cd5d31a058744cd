export const namespace = {
  title: "Namespace",
};
